// Makes what is on the page. Text is only ever put in as text: whatever a customer is called, it
// is a name and never HTML.

/** An element; children are nodes or texts, lists of them, or null. `on…` are listeners. */
export function make(tag, attributes = {}, ...children) {
  const made = document.createElement(tag)
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value)
    else if (value === true) made.setAttribute(name, "")
    else if (value !== false && value != null) made.setAttribute(name, value)
  }
  made.append(...children.flat(3).filter((child) => child != null && child !== false))
  return made
}

/** The address of a view: to`customers/${id}`. */
export const to = (texts, ...values) =>
  "#/" + String.raw({ raw: texts }, ...values.map(encodeURIComponent))

export const link = (address, text) => make("a", { href: address }, text)
export const action = (address, text) => make("a", { href: address, class: "button" }, text)
export const note = (...children) => make("p", { class: "note" }, ...children)

/** A part of a view under a heading of its own. */
export const section = (title, ...children) =>
  make("section", {}, make("h2", {}, title), ...children)

/** Names and what they are; rows without a value are left out. */
export const facts = (...rows) =>
  make(
    "dl",
    {},
    rows
      .filter(([, value]) => value != null && value !== "" && value !== false)
      .map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value))),
  )

/**
 * A table; `columns` are [heading, cell of an item, class]. On a small screen each row becomes a
 * block; the roles say that it is a table all the same.
 */
export function table(caption, columns, items, none = "None.") {
  if (!items.length) return note(none)
  const headings = columns.map(([heading, , kind]) =>
    make("th", { scope: "col", role: "columnheader", class: kind }, heading),
  )
  const row = (item) =>
    make(
      "tr",
      { role: "row" },
      columns.map(([heading, cell, kind]) =>
        make("td", { role: "cell", "data-heading": heading, class: kind }, make("div", {}, cell(item))),
      ),
    )
  return make(
    "table",
    { role: "table" },
    make("caption", { class: "unseen" }, caption),
    make("thead", { role: "rowgroup" }, make("tr", { role: "row" }, headings)),
    make("tbody", { role: "rowgroup" }, items.map(row)),
  )
}

/** A list that comes in parts: the first is there, the others at the press of a button. */
export function parts(first, read, show) {
  const box = make("div", {}, show(first.items))
  const more = (next) => {
    const button = make("button", { type: "button", class: "quiet" }, "Show more")
    button.addEventListener("click", async () => {
      button.disabled = true
      try {
        const part = await read(next)
        const shown = show(part.items)
        button.replaceWith(shown)
        shown.setAttribute("tabindex", "-1")
        shown.focus()
        if (part.next) box.append(more(part.next))
      } catch {
        button.disabled = false
        button.textContent = "That did not work. Show more"
      }
    })
    return button
  }
  if (first.next) box.append(more(first.next))
  return box
}

// --- going from view to view ---------------------------------------------------------------------

let news = ""

/** Go to a view, where it is told what was done. One that is open already is made anew. */
export function goTo(address, done = "") {
  news = done
  if (address === location.hash) dispatchEvent(new Event("hashchange"))
  else location.hash = address
}

/** Tell what was done: to those who do not see the page, and for a while to everybody. */
export function tellNews() {
  const said = document.getElementById("said")
  said.textContent = news
  news = ""
  clearTimeout(tellNews.timer)
  tellNews.timer = setTimeout(() => (said.textContent = ""), 8_000)
}

// --- money, days, times --------------------------------------------------------------------------

let currency = ""

/** The company's currency, from the last answer that named it. */
export const remember = (code) => (currency = code || currency)

/** An amount as the API writes it, "-1500.00", as people read it: "−KES 1,500.00". */
export function money(amount, code = currency) {
  if (amount == null) return null
  const [, minus, whole, rest] = /^(-?)(\d+)(.*)$/.exec(amount) ?? [null, "", amount, ""]
  const grouped = whole.replace(/\B(?=(\d{3})+$)/g, ",")
  return `${minus && "−"}${code && code + "\u00a0"}${grouped}${rest}`
}

export const nothing = (amount) => /^-?0*(\.0*)?$/.test(amount)

const DAY = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeZone: "UTC" })
const TIME = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "short" })

export const day = (text) =>
  text && make("time", { datetime: text }, DAY.format(new Date(text + "T00:00:00Z")))
export const time = (text) => text && make("time", { datetime: text }, TIME.format(new Date(text)))

/** Today, or so many days later, as a date field takes it. */
export function dayFromToday(days = 0) {
  const date = new Date()
  date.setDate(date.getDate() + days)
  const two = (number) => String(number).padStart(2, "0")
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`
}

/** A token in groups, as it is read out and typed in. */
export const token = (value) =>
  make("code", { class: "token" }, value.replace(value.length === 20 ? /.{4}(?=.)/g : /.{3}(?=.)/g, "$& "))

export const badge = (text, kind = "") => make("span", { class: "badge " + kind }, text)
