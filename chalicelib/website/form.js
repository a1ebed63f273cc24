// Forms: what is typed becomes the body of one request, and what is wrong with it appears beside
// its field. Names of fields are the API's dotted paths: "device.plan.total".

import { make } from "./page.js"
import { problemText } from "./words.js"

// --- fields --------------------------------------------------------------------------------------

/** A field: a control with its label, a hint if there is one, and a place for what is wrong. */
function field(control, label, hint) {
  const id = "f-" + control.name
  const described = [hint && id + "-hint", id + "-wrong"].filter(Boolean).join(" ")
  control.id = id
  control.setAttribute("aria-describedby", described)
  const named = make("label", { for: id }, label, !control.required && control.type !== "checkbox" && make("small", {}, " (optional)"))
  return make(
    "div",
    { class: control.type === "checkbox" ? "field check" : "field" },
    control.type === "checkbox" ? [control, named] : [named, control],
    hint && make("small", { id: id + "-hint" }, hint),
    make("p", { class: "wrong", id: id + "-wrong" }),
  )
}

/** A line of text. `of`: "text", or "whole", which is sent as a number where it is one. */
export function text(name, label, { hint, required = true, of = "text", ...attributes } = {}) {
  const more = of === "whole" ? { inputmode: "numeric" } : {}
  const plain = { type: "text", autocomplete: "off", autocapitalize: "none", spellcheck: "false" }
  return field(
    make("input", { ...plain, ...more, ...attributes, name, required, "data-of": of }),
    label,
    hint,
  )
}

export const amount = (name, label, more = {}) => text(name, label, { inputmode: "decimal", ...more })
export const date = (name, label, more = {}) => text(name, label, { type: "date", ...more })
export const check = (name, label, hint) =>
  field(make("input", { type: "checkbox", name, "data-of": "check" }), label, hint)
/** A file that somebody chooses. It is among what is typed, and not in the body. */
export const file = (name, label, { hint, ...attributes } = {}) =>
  field(make("input", { type: "file", required: true, ...attributes, name }), label, hint)
export const reason = () =>
  text("reason", "Reason", { hint: "It is kept, with your name.", maxlength: 500 })

/** One of several. `options` are [value, text], or [group, options]. */
export function choice(name, label, options, { hint, required = true, of = "text", value = "" } = {}) {
  const option = ([value, text]) =>
    Array.isArray(text)
      ? make("optgroup", { label: value }, text.map(option))
      : make("option", { value }, text)
  const control = make(
    "select",
    { name, required, "data-of": of },
    make("option", { value: "" }, required ? "Choose …" : "–"),
    options.map(option),
  )
  control.value = value
  return field(control, label, hint)
}

/**
 * One of a few, each with what it means. One must be chosen, where none is from the beginning.
 * A control whose name begins with a dash is not sent.
 */
export function radios(name, legend, options, chosen) {
  const id = "f-" + name
  return make(
    "fieldset",
    { class: "radios", "aria-describedby": id + "-wrong" },
    make("legend", {}, legend),
    options.map(([value, label, hint]) =>
      make(
        "div",
        { class: "field check" },
        make("input", { type: "radio", name, value, id: `${id}-${value}`, checked: value === chosen, required: true, "data-of": "text", "aria-describedby": hint && `${id}-${value}-hint` }),
        make("label", { for: `${id}-${value}` }, label),
        hint && make("small", { id: `${id}-${value}-hint` }, hint),
      ),
    ),
    make("p", { class: "wrong", id: id + "-wrong" }),
  )
}

export const group = (legend, ...fields) =>
  make("fieldset", {}, make("legend", {}, legend), make("div", { class: "fields" }, fields))

/** The terms of a plan, below that path; `values` are what to begin with. */
export function terms(path, values = {}) {
  const named = (name) => path + name
  return [
    amount(named("total"), "Total price", { value: values.total }),
    amount(named("down_payment"), "Down payment", { required: false, value: values.down_payment, hint: "Owed at once." }),
    amount(named("already_paid"), "Already paid", { required: false, hint: "What was paid before, elsewhere." }),
    radios("-by", "Paid off in", [["number", "so many instalments"], ["size", "instalments of so much"]], values.instalment_amount ? "size" : "number"),
    text(named("instalments"), "Number of instalments", { of: "whole", value: values.instalments }),
    amount(named("instalment_amount"), "Each instalment", { value: values.instalment_amount }),
    choice(named("every"), "One every", [["week", "week"], ["month", "month"]], { value: values.every ?? "month" }),
    date(named("first_due"), "First due on", { value: values.first_due }),
  ]
}

/** What of the terms is shown, by how the instalments are told. */
export const termsShown = (path) => ({
  [path + "instalments"]: (typed) => typed["-by"] === "number",
  [path + "instalment_amount"]: (typed) => typed["-by"] === "size",
})

// --- forms ---------------------------------------------------------------------------------------

/**
 * A form. `send(body, key, typed)` makes the request; `done(answer)` goes on from there. `shown`
 * says, by the name of a field or by the id of a part, when it is asked for; what is not asked for
 * is not sent. `changed(name, form)` hears of each choice.
 *
 * The key is made once, and again only when the API has answered: whoever presses twice, or
 * repeats what had no answer, asks for the same thing.
 */
export function form({ label, button, send, done, shown = {}, changed }, ...fields) {
  const wrong = make("div", { class: "problem", role: "alert", tabindex: "-1", hidden: true })
  const submit = make("button", { type: "submit" }, button)
  const element = make("form", { novalidate: true, "aria-label": label }, wrong, fields, submit)
  let key = crypto.randomUUID()
  let sending = false

  const arrange = () => {
    const now = typed(element)
    for (const [name, when] of Object.entries(shown)) {
      const control = element.elements[name]
      const part = element.querySelector(`[id="${name}"]`) ?? partOf(control)
      part.hidden = !when(now)
    }
  }
  element.addEventListener("change", (event) => {
    changed?.(event.target.name, element)
    arrange()
  })
  arrange()

  element.addEventListener("submit", async (event) => {
    event.preventDefault()
    if (sending) return
    clear(element, wrong)
    const missing = [...new Set(asked(element).filter(isMissing).map(({ name }) => name))]
    if (missing.length) return tell(element, wrong, missing.map((field) => ({ field, message: "Please fill this in." })))
    sending = true
    submit.setAttribute("aria-disabled", "true")
    try {
      const answer = await send(body(element), key, typed(element))
      key = crypto.randomUUID()
      await done(answer)
    } catch (problem) {
      if (!problem.unknown && problem.status !== 401) key = crypto.randomUUID()
      if (problem.status === undefined) throw problem
      if (problem.code !== "unauthorized") tell(element, wrong, problem.errors, problemText(problem))
    } finally {
      sending = false
      submit.removeAttribute("aria-disabled")
    }
  })
  return element
}

const partOf = (control) => (control.closest ? control.closest(".field") : control[0].closest("fieldset"))

/** The controls that are asked for now. */
const asked = (element) =>
  [...element.elements].filter((control) => control.name && !control.closest("[hidden]"))

const isMissing = (control) =>
  control.required && !(control.type === "radio" ? control.form.elements[control.name].value : control.value.trim())

/** What is typed and chosen, by name, hidden or not. */
const typed = (element) => Object.fromEntries(new FormData(element))

function body(element) {
  const made = {}
  for (const control of asked(element)) {
    if (control.name.startsWith("-") || (control.type === "radio" && !control.checked)) continue
    const value = read(control)
    if (value === undefined) continue
    const path = control.name.split(".")
    const last = path.pop()
    path.reduce((inner, name) => (inner[name] ??= {}), made)[last] = value
  }
  return made
}

function read({ type, value, checked, dataset }) {
  if (dataset.of === "check") return checked || undefined
  const said = type === "password" ? value : value.trim()
  if (said === "") return undefined
  return dataset.of === "whole" && /^\d{1,15}$/.test(said) ? Number(said) : said
}

function clear(element, wrong) {
  wrong.hidden = true
  for (const place of element.querySelectorAll(".wrong")) place.textContent = ""
  for (const control of element.elements) control.removeAttribute("aria-invalid")
}

/** Say what is wrong: beside the fields that are asked for, and above them what has no field. */
function tell(element, wrong, errors = [], otherwise = "") {
  let first = null
  const others = []
  for (const { field, message } of errors) {
    const control = asked(element).find(({ name }) => name === field)
    const place = control && element.querySelector(`[id="f-${field}-wrong"]`)
    if (!place) {
      others.push(field ? `${field}: ${message}` : message)
      continue
    }
    place.textContent = message[0].toUpperCase() + message.slice(1)
    control.setAttribute("aria-invalid", "true")
    first ??= control
  }
  if (!first || others.length) {
    wrong.replaceChildren(...(others.length ? others : [otherwise]).map((text) => make("p", {}, text)))
    wrong.hidden = false
  }
  ;(first ?? wrong).focus()
}
