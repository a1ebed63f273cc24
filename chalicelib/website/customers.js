// Customers: find them, see what they owe and have, change who they are, sell to them.

import { all, at, get, getIfThere, may, post, put } from "./api.js"
import { amount, choice, form, group, reason, terms, termsShown, text } from "./form.js"
import { action, badge, day, dayFromToday, facts, goTo, link, make, money, note, nothing, parts, remember, section, table, time, to } from "./page.js"
import { paymentsTable } from "./payments.js"
import { villageField, villageNames } from "./sites.js"
import { colourOf, kindOf, reasonOf, stateOf } from "./words.js"

const fullName = ({ name, surname }) => `${name} ${surname}`

// --- finding -------------------------------------------------------------------------------------

export async function findView(query) {
  const wanted = (query.get("q") ?? "").trim()
  const search = form(
    {
      label: "Find a customer",
      button: "Find",
      send: async (_, __, typed) => typed.wanted.trim(),
      done: (said) => goTo("#/find?" + new URLSearchParams({ q: said })),
    },
    text("wanted", "Phone, name, serial number, receipt or customer number", { type: "search", value: wanted }),
  )
  search.classList.add("search")
  const add = may("office") && make("p", { class: "actions" }, action("#/customers/new", "Add a customer without a device"))
  if (!wanted) return { title: "Find a customer", content: [search, add] }
  const { device, people } = await found(wanted)
  const payments = device || people.items.length ? [] : await paymentsOf(wanted)
  const count = people.items.length + (device ? 1 : 0) + payments.length
  return {
    title: `${count ? `${count}${people.next ? " or more" : ""}` : "Nothing"} found for “${wanted}”`,
    content: [search, device && deviceFound(device), peopleFound(people), paymentsFound(payments), add],
  }
}

/** What fits: a device of that serial number; customers of that number, phone or name. */
async function found(wanted) {
  const has = (pattern) => pattern.test(wanted)
  const asks = []
  if (has(/^\d{1,9}$/)) asks.push({ number: wanted })
  if (has(/^\+?[\d\s().-]{6,}$/)) asks.push({ phone: wanted })
  if (has(/\p{L}/u)) asks.push({ name: wanted })
  const [device, ...lists] = await Promise.all([
    has(/\d/) ? deviceOf(wanted) : null,
    ...asks.map((query) => get("customers", query).catch(noneIfWrong)),
  ])
  const people = new Map(lists.flatMap(({ items }) => items).map((person) => [person.id, person]))
  const longer = lists.findIndex((list) => list.next)
  return {
    device: device ?? (has(/\d/) || people.size ? null : await deviceOf(wanted)), // few have no digit
    people: {
      items: [...people.values()],
      next: lists[longer]?.next ?? null,
      more: (cursor) => get("customers", { ...asks[longer], cursor }),
    },
  }
}

/** The payments that a receipt or an id names, where nobody and nothing has that number. */
const paymentsOf = (wanted) =>
  /\d/.test(wanted) ? get("payments", { text: wanted }).catch(noneIfWrong).then(({ items }) => items) : []

const paymentsFound = (payments) => payments.length > 0 && section("Payments", paymentsTable(payments))

const deviceOf = (serial) =>
  /[\da-z]/i.test(serial) && serial.length <= 60 ? getIfThere(at`devices/${serial}`) : null

/** What is no phone number is nobody's phone number. */
function noneIfWrong(problem) {
  if (problem.status === 422) return { items: [], next: null }
  throw problem
}

const deviceFound = (device) =>
  section(
    "Device",
    make("p", {}, link(to`devices/${device.serial_number}`, device.serial_number), ` ${kindOf(device.kind)} `, badge(stateOf(device.state), colourOf(device.state))),
    device.customer_id
      ? make("p", {}, action(to`customers/${device.customer_id}`, "Open its customer"))
      : note("It belongs to nobody."),
  )

const peopleFound = (people) =>
  people.items.length > 0 &&
  section(
    "Customers",
    parts(people, people.more, (items) =>
      table("Customers", [
        ["Name", (person) => link(to`customers/${person.id}`, fullName(person))],
        ["Phone", (person) => person.phone],
        ["Number", (person) => String(person.number)],
      ], items),
    ),
  )

// --- one customer --------------------------------------------------------------------------------

export async function customerView(id) {
  const query = { customer_id: id, limit: 10 }
  const [person, account, payments, villages] = await Promise.all([
    get(at`customers/${id}`),
    get(at`customers/${id}/account`),
    get("payments", query),
    villageNames(),
  ])
  remember(account.currency)
  const names = Object.fromEntries(account.plans.map((plan) => [plan.plan_id, plan.name]))
  return {
    title: fullName(person),
    content: [
      person.needs_review.map((why) => note(badge("Needs a look", "bad"), " ", reasonOf(why))),
      facts(["Phone", person.phone], ["Customer number", String(person.number)], ["Village", villages[person.village_id]]),
      figures(account),
      make(
        "p",
        { class: "actions" },
        may("office") && action(to`customers/${id}/sell`, "Sell an appliance"),
        may("office", "field") && action("#/register?" + new URLSearchParams({ customer: id }), "Register a device"),
        may("office") && action(to`customers/${id}/change`, "Change details"),
        may("operations") && !nothing(account.credit) && action(to`customers/${id}/credit`, "Pay out credit"),
      ),
      !!account.debts.length && section("Overdue, in the order of clearing", debts(account)),
      section("Plans", plansTable(account.plans)),
      section("Devices", devicesTable(account.devices)),
      section(
        "Payments",
        parts(payments, (cursor) => get("payments", { ...query, cursor }), (items) => paymentsTable(items, names)),
      ),
    ].flat(),
  }
}

const figures = (account) =>
  make(
    "div",
    { class: "figures" },
    make("p", { class: nothing(account.owed) ? "" : "owes" }, make("span", {}, "Overdue"), make("strong", {}, money(account.owed))),
    make("p", {}, make("span", {}, "Credit"), make("strong", {}, money(account.credit))),
  )

const debts = (account) =>
  table("Debts", [
    ["What", (debt) => `${kindOf(debt.kind)}: ${debt.name}`],
    ["Device", (debt) => debt.serial_number ?? "–"],
    ["Due", (debt) => day(debt.due_on)],
    ["Amount", (debt) => money(debt.amount), "number"],
  ], account.debts)

export const plansTable = (plans) =>
  table("Plans", [
    ["What", (plan) => plan.name],
    ["Paid", (plan) => `${money(plan.paid)} of ${money(plan.total)}`, "number"],
    ["Open", (plan) => money(plan.open), "number"],
    ["Overdue", (plan) => (nothing(plan.overdue) ? "–" : badge(money(plan.overdue), "bad")), "number"],
    ["Next due", (plan) => day(plan.schedule.find(notPaid)?.due_on) ?? "–"],
  ], plans, "No open plans.")

export const notPaid = (row) => row.paid !== row.amount

const devicesTable = (devices) =>
  table("Devices", [
    ["Serial number", (device) => link(to`devices/${device.serial_number}`, device.serial_number)],
    ["Kind", (device) => kindOf(device.kind)],
    ["Paid until", (device) => time(device.paid_until) ?? "–"],
    ["Next fee", (device) => (device.access_rate ? [money(device.access_rate.amount), " on ", day(device.access_rate.next_due_on)] : "–")],
    ["Carried over", (device) => device.carry.amount ? money(device.carry.amount) : `${device.carry.days} days`],
  ], devices, "No devices.")

// --- who somebody is -----------------------------------------------------------------------------

/** The fields of a person, below that path. */
export async function personFields(path = "", person = {}) {
  return [
    text(path + "name", "First name", { value: person.name, autocapitalize: "words" }),
    text(path + "surname", "Surname", { value: person.surname, autocapitalize: "words" }),
    text(path + "phone", "Phone", { type: "tel", value: person.phone, hint: "Tokens are sent to it." }),
    await villageField(path + "village_id", person.village_id),
  ]
}

export async function changeView(id) {
  const isNew = id === "new"
  const person = isNew ? {} : await get(at`customers/${id}`)
  return {
    title: isNew ? "Add a customer" : `Change ${fullName(person)}`,
    content: [
      form(
        {
          label: "Customer",
          button: "Save",
          send: (body, key) => (isNew ? post("customers", body, key) : put(at`customers/${id}`, body, key)),
          done: ({ id }) => goTo(to`customers/${id}`, "Saved."),
        },
        await personFields("", person),
      ),
    ],
  }
}

// --- paying credit out ---------------------------------------------------------------------------

export async function creditView(id) {
  const [person, account] = await Promise.all([get(at`customers/${id}`), get(at`customers/${id}/account`)])
  remember(account.currency)
  return {
    title: `Pay out credit of ${fullName(person)}`,
    content: [
      note(`${money(account.credit)} is there. Hand the money over once this is done, not before.`),
      form(
        {
          label: "Credit",
          button: "Take it off the account",
          send: (body, key) => post(at`customers/${id}/credit/refunds`, body, key),
          done: ({ amount }) => goTo(to`customers/${id}`, `Taken off the account: ${money(amount)}. Hand it over now.`),
        },
        amount("amount", "Amount", { value: account.credit }),
        reason(),
      ),
    ],
  }
}

// --- selling -------------------------------------------------------------------------------------

export async function sellView(id) {
  const [person, account, appliances] = await Promise.all([
    get(at`customers/${id}`),
    get(at`customers/${id}/account`),
    all("appliances"),
  ])
  remember(account.currency)
  const sold = appliances.filter(({ kind }) => kind === "appliance")
  const named = (typed) => typed["-what"] === "other"
  return {
    title: `Sell to ${fullName(person)}`,
    content: [
      form(
        {
          label: "Sale",
          button: "Sell",
          shown: { name: named, ...termsShown("") },
          changed: (name, element) => {
            if (name === "-what") fillTerms(element, sold.find((one) => String(one.id) === element.elements[name].value), account.at)
          },
          send: (body, key, typed) => post(at`customers/${id}/plans`, named(typed) ? body : { ...body, appliance_id: Number(typed["-what"]) }, key),
          done: (plan) => goTo(to`customers/${id}`, `Sold: ${plan.name}, ${money(plan.total)}.`),
        },
        choice("-what", "What is sold", [...sold.map((one) => [one.id, `${one.name}, ${money(one.price)}`]), ["other", "Something else"]]),
        text("name", "Its name"),
        group("How it is paid", terms("", { first_due: dayFromToday(30) })),
      ),
    ],
  }
}

/** Put in what an appliance costs, and how it is usually paid. */
function fillTerms({ elements }, appliance, today) {
  if (!appliance) return
  const plan = appliance.default_plan
  elements.total.value = appliance.price
  if (!plan) return
  elements["-by"].value = plan.instalment_amount ? "size" : "number"
  elements.down_payment.value = nothing(plan.down_payment) ? "" : plan.down_payment
  elements.instalments.value = plan.instalments ?? ""
  elements.instalment_amount.value = plan.instalment_amount ?? ""
  elements.every.value = plan.every
  const due = new Date(today + "T00:00:00Z")
  due.setUTCDate(due.getUTCDate() + plan.first_due_after_days)
  elements.first_due.value = due.toISOString().slice(0, 10)
}
