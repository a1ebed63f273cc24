// Registrations from the field that a person must look at.

import { all, at, get, may, post } from "./api.js"
import { choice, form, group, radios, reason, text } from "./form.js"
import { facts, goTo, link, make, note, parts, table, time, to } from "./page.js"
import { makerField, saleFields } from "./register.js"
import { villageField } from "./sites.js"
import { reasonOf } from "./words.js"

const read = (cursor) => get("registrations", { status: "needs_review", ...(cursor && { cursor }) })
const who = ({ form }) => `${form.name} ${form.surname}`

export async function reviewsView() {
  return {
    title: "Registrations to look at",
    content: [
      note("Field staff have sent these, and something about them needs a person."),
      parts(await read(), read, (items) =>
        table("Registrations", [
          ["Sent", (one) => (may("office") ? link(to`reviews/${one.registration_id}`, time(one.posted_at)) : time(one.posted_at))],
          ["Customer", who],
          ["Serial number", (one) => one.form.serial_number],
          ["Why", (one) => one.reasons.map(reasonOf).join(" ")],
        ], items, "None needs a look."),
      ),
    ],
  }
}

export async function reviewView(id) {
  const one = (await all("registrations", { status: "needs_review" })).find(({ registration_id }) => registration_id === id)
  if (!one) return { title: "Nothing to do", content: [note("It needs no look any more. ", link("#/reviews", "The others"))] }
  const made = one.customer_id !== null
  return {
    title: `Registration of ${who(one)}`,
    content: [
      one.reasons.map((why) => note(reasonOf(why))),
      facts(
        ["Phone", one.form.phone],
        ["Serial number", one.form.serial_number],
        ["Sent", [time(one.posted_at), ` by ${one.posted_by}`]],
        ["Customer", made && link(to`customers/${one.customer_id}`, "Open the customer")],
        ["Device", one.serial_number && link(to`devices/${one.serial_number}`, one.serial_number)],
      ),
      made ? decision(id, [["done", "It is complete", "What was missing is there now."]]) : await correction(id, one.form),
    ].flat(),
  }
}

const decision = (id, outcomes, { shown, more = () => ({}) } = {}, ...fields) =>
  form(
    {
      label: "What is to be done",
      button: "Do it",
      shown,
      send: (body, key, typed) => {
        const corrections = { ...body.corrections, ...more(typed) }
        return post(at`registrations/${id}/resolve`, { ...body, corrections }, key).catch(besideItsField)
      },
      done: () => goTo("#/reviews", "Done."),
    },
    radios("outcome", "Choose one", outcomes),
    fields,
    reason(),
  )

/** What nothing was made of yet: it is registered, put right where it must be, or dismissed. */
async function correction(id, sent) {
  let makers = []
  const maker = (typed) =>
    makers.find(({ key }) => key === typed["corrections.manufacturer"]) ??
    makers.find(({ id }) => id === sent.manufacturer_id)
  const [sale, village, tariffs] = await Promise.all([
    saleFields("corrections.", maker),
    villageField("corrections.village_id", undefined, { required: false }),
    all("tariffs"),
    all("manufacturers").then((found) => (makers = found)),
  ])
  const registers = (typed) => typed.outcome === "register"
  const optional = { required: false }
  return decision(
    id,
    [
      ["register", "Register it", "With what is put right here; what is empty stays as it was sent."],
      ["dismiss", "Dismiss it", "Nothing was made, and nothing will be."],
    ],
    {
      shown: { ...sale.shown, corrections: registers },
      more: (typed) => (registers(typed) ? sale.appliance(typed) : {}),
    },
    make(
      "div",
      { id: "corrections" },
      group(
        "What is otherwise",
        text("corrections.serial_number", "Serial number", optional),
        makerField("corrections.manufacturer", makers, optional),
        text("corrections.name", "First name", optional),
        text("corrections.surname", "Surname", optional),
        text("corrections.phone", "Phone", optional),
        village,
        choice("corrections.tariff_id", "Tariff", tariffs.map(({ id, name }) => [id, name]), { ...optional, of: "whole" }),
      ),
      sale.fields,
    ),
  )
}

/** The API names fields as in a registration; here they are those of the corrections. */
function besideItsField(problem) {
  for (const error of problem.errors ?? []) error.field = error.field.replace(/^(customer|device)\./, "corrections.")
  throw problem
}
