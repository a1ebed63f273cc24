// Which view is shown: the address behind the # says so, and the back button works.

import { email, get, loggedIn, logOut, may, onEnd } from "./api.js"
import { appliancesView, applianceView, tariffsView, tariffView } from "./catalogue.js"
import { changeView, creditView, customerView, findView, sellView } from "./customers.js"
import { actView, deviceView, replaceView, sellDeviceView, technicalView } from "./devices.js"
import { logInView } from "./log-in.js"
import { exportView, importView, movingView, sendView } from "./moving.js"
import { goTo, link, make, note, remember, tellNews } from "./page.js"
import { heldView, paymentView } from "./payments.js"
import { registerView } from "./register.js"
import { reviewView, reviewsView } from "./reviews.js"
import { siteView, sitesView } from "./sites.js"
import { problemText } from "./words.js"

/** Each view: its address ("*" is a variable), what makes it, who may see it (else: everybody). */
const VIEWS = [
  ["find", findView],
  ["customers/*", customerView],
  ["customers/*/sell", sellView, "office"],
  ["customers/*/change", changeView, "office"],
  ["customers/*/credit", creditView, "operations"],
  ["customers/new", () => changeView("new"), "office"],
  ["devices/*", deviceView],
  ["devices/*/sell", sellDeviceView, "office"],
  ["devices/*/technical", technicalView, "office"],
  ["devices/*/do", actView, "office", "operations"],
  ["devices/*/replace", replaceView, "office", "operations"],
  ["register", registerView, "office", "field"],
  ["held", heldView],
  ["payments/*", paymentView],
  ["reviews", reviewsView],
  ["reviews/*", reviewView, "office"],
  ["tariffs", tariffsView],
  ["tariffs/*", tariffView, "admin"],
  ["appliances", appliancesView],
  ["appliances/new", applianceView, "admin"],
  ["sites", sitesView],
  ["sites/*/*", siteView, "admin"],
  ["moving", movingView, "finance"],
  ["imports/*", importView, "admin"],
  ["imports/new", sendView, "admin"],
  ["exports/*", exportView, "finance"],
]

const MENU = [
  ["find", "Find"],
  ["register", "Register", "office", "field"],
  ["held", "Held"],
  ["reviews", "Review"],
  ["tariffs", "Tariffs"],
  ["appliances", "Appliances"],
  ["sites", "Sites"],
  ["moving", "Moving", "finance"],
]

const HOME = "#/find"
const content = document.getElementById("content")

let round = 0 // counts what was asked for; an answer to an earlier one is not shown any more
let loading = false

async function show() {
  if (!loggedIn()) return logInFirst()
  const mine = ++round
  loading = true
  chrome()
  let view
  try {
    await (currencyKnown ??= learnCurrency())
    view = await made()
  } catch (problem) {
    if (problem.status === undefined) throw problem
    if (problem.code === "unauthorized") return
    view = failed(problem)
  } finally {
    if (mine === round) loading = false
  }
  if (mine === round) present(view)
}

let currencyKnown = null

/** The company's currency stands beside its prices. Without it amounts are shown bare. */
const learnCurrency = () =>
  get("tariffs", { limit: 1 }).then(
    ({ items: [tariff] }) => remember(tariff?.currency),
    () => (currencyKnown = null),
  )

/** The view of the present address. */
function made() {
  const [path, query] = location.hash.slice(2).split("?")
  const steps = path.split("/").map(decodeURIComponent)
  const fits = ([pattern]) => {
    const wanted = pattern.split("/")
    return wanted.length === steps.length && wanted.every((step, i) => step === "*" || step === steps[i])
  }
  const [pattern, view, ...roles] = VIEWS.findLast(fits) ?? []
  if (!view) return { title: "Not found", content: [note("There is no such page. ", link(HOME, "Find a customer"))] }
  if (roles.length && !may(...roles)) return { title: "Not for you", content: [note("Your role does not allow this.")] }
  const variables = steps.filter((_, i) => pattern.split("/")[i] === "*")
  return view(...variables, new URLSearchParams(query))
}

function failed(problem) {
  const again = make("button", { type: "button", onclick: show }, "Try again")
  const box = make("div", { class: "problem", role: "alert" }, make("p", {}, problemText(problem)))
  return { title: "That did not work", content: [box, problem.unknown && again] }
}

function present({ title, content: parts }) {
  const heading = make("h1", { tabindex: "-1" }, title)
  document.title = `${title} – Mwanga office`
  content.replaceChildren(heading, ...parts.filter(Boolean))
  tellNews()
  scrollTo(0, 0)
  heading.focus({ preventScroll: true })
}

/** The menu, for whoever has logged in. */
function chrome() {
  const menu = document.getElementById("menu")
  const who = document.getElementById("who")
  menu.hidden = who.hidden = !loggedIn()
  if (!loggedIn()) return
  const here = location.hash.slice(2).split(/[/?]/)[0]
  const entry = ([name, text]) =>
    make("a", { href: "#/" + name, "aria-current": name === here && "page" }, text)
  menu.replaceChildren(...MENU.filter(([, , ...roles]) => !roles.length || may(...roles)).map(entry))
  const leave = make("button", { type: "button", class: "quiet", onclick: leaveNow }, "Log out")
  who.replaceChildren(make("span", {}, email()), " ", leave)
}

async function leaveNow() {
  kept = null
  const over = logOut()
  logInFirst()
  await over
}

// --- logging in, at first and again --------------------------------------------------------------

let kept = null // what somebody was at when the session ended: theirs alone

function logInFirst(because, whose) {
  round++
  loading = false
  chrome()
  present(logInView({ email: whose, because, done: goOn }))
}

function goOn() {
  const mine = kept
  kept = null
  chrome()
  if (!mine) return show()
  if (mine.whose !== email()) return goTo(HOME)
  document.title = mine.title
  content.replaceChildren(...mine.nodes)
  content.querySelector("h1").focus()
}

onEnd((whose) => {
  // What was being loaded is loaded anew; what was being typed is put back as it was.
  if (!loading && kept === null) kept = { whose, title: document.title, nodes: [...content.childNodes] }
  logInFirst("Your session has ended. Log in again: what you have typed is kept.", whose)
})

addEventListener("hashchange", () => {
  kept = null
  show()
})
if (location.hash.length < 3) history.replaceState(null, "", HOME)
show()
