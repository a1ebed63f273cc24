// Payments: where the money went, which tokens it brought, and the ways out of a held one.

import { at, get, may, post } from "./api.js"
import { amount, check, choice, form, radios, reason, text } from "./form.js"
import { badge, facts, goTo, link, make, money, note, parts, section, table, time, to, token } from "./page.js"
import { colourOf, kindOf, reasonOf, statusOf, WAYS, waysOut } from "./words.js"

const status = (payment) => badge(statusOf(payment.status), colourOf(payment.status))
const units = ({ units, unit }) => [units, unit].filter(Boolean).join(" ")

/** A list of payments. `names` says what lines refer to, by plan id. */
export const paymentsTable = (payments, names = {}) =>
  table("Payments", [
    ["When", (payment) => link(to`payments/${payment.payment_id}`, time(payment.moment))],
    ["Amount", (payment) => money(payment.amount, payment.currency), "number"],
    ["Status", status],
    ["Went to", (payment) => payment.lines.map((line) => make("div", {}, lineText(line, names), " ", money(line.amount, payment.currency)))],
    ["Tokens", (payment) => tokens(payment)],
  ], payments, "No payments.")

const lineText = ({ kind, ref }, names) => `${kindOf(kind)} ${names[ref] ?? ""}`.trim()

const tokens = (payment) =>
  payment.tokens.length
    ? payment.tokens.map((one) => make("div", {}, (one.before ?? []).flatMap((first) => [token(first), " then "]), one.value ? token(one.value) : "Sent to the device", ` ${units(one) || kindOf(one.kind)}`))
    : "–"

// --- the held list -------------------------------------------------------------------------------

export async function heldView() {
  const read = (status) => (cursor) => get("payments", { status, ...(cursor && { cursor }) })
  const [held, leaving] = await Promise.all([read("held")(), read("refund_due")()])
  const list = (none) => (items) =>
    table("Payments", [
      ["Received", (payment) => link(to`payments/${payment.payment_id}`, time(payment.received_at))],
      ["Amount", (payment) => money(payment.amount, payment.currency), "number"],
      ["Serial number", (payment) => payment.serial_number],
      ["Why", (payment) => reasonOf(payment.reason)],
    ], items, none)
  return {
    title: "Held payments",
    content: [
      note("A held payment waits for a person; nothing else waits for it. Open one to see the ways out."),
      section("Held", parts(held, read("held"), list("No payment is held."))),
      section("Going back by themselves soon", note("Money for a serial number that is not valid. Until it goes back, it can be given to the right device."), parts(leaving, read("refund_due"), list("None."))),
    ],
  }
}

// --- one payment ---------------------------------------------------------------------------------

export async function paymentView(id) {
  const [payment, messages] = await Promise.all([
    get(at`payments/${id}`),
    get("messages", { payment_id: id }),
  ])
  const names = payment.lines.some(({ kind }) => kind === "appliance") ? await planNames(payment.customer_id) : {}
  const [open, going] = [["held", "refund_due"], ["received", "vending", "refunding"]].map((some) => some.includes(payment.status))
  return {
    title: `Payment of ${money(payment.amount, payment.currency)}`,
    content: [
      facts(
        ["Status", status(payment)],
        ["Why", payment.reason && reasonOf(payment.reason)],
        ["Paid", time(payment.moment)],
        ["Serial number", payment.serial_number && link(to`devices/${payment.serial_number}`, payment.serial_number)],
        ["Customer", payment.customer_id && link(to`customers/${payment.customer_id}`, "Open the customer")],
        ["Channel", payment.channel],
        ["Reference", payment.reference],
      ),
      going && make("p", {}, make("button", { type: "button", class: "quiet", onclick: () => goTo(location.hash) }, "See whether it has gone on")),
      open && may("operations") && section("What is to be done", way(payment)),
      section("Where the money went", table("Lines", [
        ["What", (line) => lineText(line, {})],
        ["For", (line) => names[line.ref] ?? line.ref],
        ["Amount", (line) => money(line.amount, payment.currency), "number"],
      ], payment.lines, "Nowhere yet.")),
      section("Tokens", tokens(payment)),
      !!payment.vends.length && section("Requests to the manufacturer", table("Requests", [
        ["No.", (vend) => String(vend.number)],
        ["To", (vend) => vend.manufacturer],
        ["What", (vend) => `${kindOf(vend.kind)} ${units(vend)}`],
        ["State", (vend) => vend.state],
        ["Attempts", (vend) => String(vend.attempts)],
      ], payment.vends)),
      section("SMS", table("SMS", [
        ["To", (sms) => sms.to],
        ["Text", (sms) => sms.body],
        ["State", (sms) => [sms.state, " ", time(sms.sent_at)]],
      ], messages.items, "None yet.")),
      !!payment.events.length && section("What happened", table("Events", [
        ["When", (event) => time(event.at)],
        ["What", (event) => event.what.replaceAll("_", " ")],
        ["Who", (event) => event.actor ?? "–"],
        ["Why", (event) => event.reason ?? "–"],
      ], payment.events)),
    ],
  }
}

const planNames = async (customer) =>
  Object.fromEntries((await get(at`customers/${customer}/account`)).plans.map(({ plan_id, name }) => [plan_id, name]))

/** The ways out: one is chosen, and what it needs is asked for. */
function way(payment) {
  const ways = payment.status === "refund_due" ? ["assign"] : waysOut(payment.reason)
  const uncertain = payment.vends.filter((vend) => ["uncertain", "refused"].includes(vend.state))
  const doubt = /uncertain|slow/.test(payment.reason)
  const chosen = (...some) => (typed) => some.includes(typed["-way"])
  const id = payment.payment_id
  return form(
    {
      label: "What is to be done",
      button: "Do it",
      shown: {
        ...(doubt && { not_issued: chosen("retry") }),
        ...(uncertain.length > 1 && { vend: chosen("token", "not_issued", "retry") }),
        token: chosen("token"),
        serial_number: chosen("assign"),
        amount: chosen("refund"),
      },
      send: (body, key, typed) => {
        const way = typed["-way"]
        return way === "retry" || way === "refund"
          ? post(at`payments/${id}` + "/" + way, body, key)
          : post(at`payments/${id}/resolve`, { ...body, outcome: way }, key)
      },
      done: (after) => goTo(location.hash, `Done. The payment is now: ${statusOf(after.status)}.`),
    },
    radios("-way", "Choose one", ways.map((name) => [name, ...WAYS[name]])),
    doubt && check("not_issued", "I have looked: nothing was issued", "Without this the manufacturer is asked again only if it can tell. A second token is real energy."),
    uncertain.length > 1 && choice("vend", "Which request", uncertain.map((vend) => [vend.number, `No. ${vend.number}, ${vend.state}`]), { of: "whole", required: false }),
    text("token", "Token", { required: false, hint: "Empty for a remote top-up.", inputmode: "numeric" }),
    text("serial_number", "Serial number of the right device"),
    amount("amount", "Amount", { required: false, hint: "Empty: all that has bought nothing." }),
    reason(),
  )
}
