// Registrations from the field that a person must look at.

import { all, at, get, may, post } from "./api.js"
import { form, radios, reason, text } from "./form.js"
import { facts, link, note, parts, say, table, time, to } from "./page.js"
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
  const outcomes = made
    ? [["done", "It is complete", "What was missing is there now."]]
    : [
        ["register", "Register it", "With what is corrected here; what is empty stays as it was sent."],
        ["dismiss", "Dismiss it", "Nothing was made, and nothing will be."],
      ]
  const correct = (typed) => typed.outcome === "register"
  const corrections = made ? [] : [["serial_number", "Serial number"], ["name", "First name"], ["surname", "Surname"], ["phone", "Phone"]]
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
      form(
        {
          label: "What is to be done",
          button: "Do it",
          shown: Object.fromEntries(corrections.map(([name]) => ["corrections." + name, correct])),
          send: (body, key) => post(at`registrations/${id}/resolve`, body, key),
          done: () => {
            location.hash = "#/reviews"
            say("Done.")
          },
        },
        radios("outcome", "Choose one", outcomes, outcomes[0][0]),
        corrections.map(([name, label]) => text("corrections." + name, label, { required: false })),
        reason(),
      ),
    ].flat(),
  }
}
