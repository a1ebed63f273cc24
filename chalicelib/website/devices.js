// Devices: what they are and until when they run; sell one again; enter its key.

import { at, get, may, post, put } from "./api.js"
import { notPaid, plansTable } from "./customers.js"
import { amount, check, form, group, radios, reason, terms, termsShown, text } from "./form.js"
import { action, badge, day, dayFromToday, facts, goTo, link, make, money, note, parts, section, table, time, to } from "./page.js"
import { paymentsTable } from "./payments.js"
import { villageNames } from "./sites.js"
import { colourOf, kindOf, stateOf } from "./words.js"

export async function deviceView(serial) {
  const query = { serial_number: serial, limit: 10 }
  const [device, payments, villages] = await Promise.all([
    get(at`devices/${serial}`),
    get("payments", query),
    villageNames(),
  ])
  const { plan } = device
  const onPlan = device.kind !== "meter"
  const open = plan?.state === "open"
  return {
    title: `${kindOf(device.kind)} ${device.serial_number}`,
    content: [
      facts(
        ["State", badge(stateOf(device.state), colourOf(device.state))],
        ["Manufacturer", device.manufacturer],
        ["Owner", device.customer_id ? link(to`customers/${device.customer_id}`, "Open its customer") : "Nobody"],
        ["Village", villages[device.village_id]],
        ["Registered on", day(device.registered_on)],
        ["Paid until", time(device.paid_until)],
      ),
      may("office", "operations") && make(
        "p",
        { class: "actions" },
        may("office") && onPlan && device.customer_id && !open && action(to`devices/${serial}/sell`, "Sell it"),
        may("office") && hasKey(device.manufacturer) && action(to`devices/${serial}/technical`, "Enter its key"),
        device.customer_id && action(to`devices/${serial}/do`, "Send, give, unlock"),
        device.customer_id && action(to`devices/${serial}/replace`, "Replace it"),
      ),
      onPlan && section("Plan", plan ? [plansTable([plan]), open || note(stateOf(plan.state)), schedule(plan)] : note("It has no plan.")),
      section(
        "Payments",
        parts(payments, (cursor) => get("payments", { ...query, cursor }), (items) => paymentsTable(items)),
      ),
    ],
  }
}

const schedule = (plan) =>
  make(
    "details",
    {},
    make("summary", {}, "All instalments"),
    table("Instalments", [
      ["Instalment", (row) => (row.number ? String(row.number) : "Down payment")],
      ["Due", (row) => day(row.due_on)],
      ["Amount", (row) => money(row.amount), "number"],
      ["Paid", (row) => (notPaid(row) ? money(row.paid) : badge("Paid", "good")), "number"],
    ], plan.schedule),
  )

export const sellDeviceView = (serial) => ({
  title: `Sell ${serial}`,
  content: [
    note("It is sold to its present owner."),
    form(
      {
        label: "Sale",
        button: "Sell",
        shown: termsShown(""),
        send: (body, key) => post(at`devices/${serial}/plan`, body, key),
        done: () => goTo(to`devices/${serial}`, "Sold."),
      },
      group("How it is paid", terms("", { first_due: dayFromToday(30) })),
    ),
  ],
})

// --- what is done about a device -----------------------------------------------------------------

const SEND = ["send-again", "Send its last token again", "The SMS as it was, to the owner's present number."]
const GIVE = ["free-credit", "Give energy or days for nothing", "kWh for a meter, whole days for the others."]
const UNLOCK = ["unlock", "Unlock it for good", "As if it were paid off; its plan must have ended."]

/** What only some manufacturers have; for the others the API says no. */
const ACTIONS = [
  ["lock", "Lock it", "It stops now. What is paid stays paid."],
  ["reset", "Set it to what is paid", "After a lock, or when it runs for too long or too short."],
  ["clear_credit", "Clear its credit", "A meter. The token is not sent to the customer."],
  ["clear_tamper", "Clear its tamper alarm", "A meter."],
  ["sync", "Bring its token counter to ours", "When it takes no tokens any more."],
]
const isAction = (what) => ACTIONS.some(([name]) => name === what)

/** Do that about a device. */
function doTo(serial, what, body, key) {
  const path = at`devices/${serial}`
  if (isAction(what)) return post(path + "/actions", { ...body, action: what }, key)
  return post(path + "/" + what, body, key)
}

export const actView = (serial) => ({
  title: `Do something about ${serial}`,
  content: [
    form(
      {
        label: "What is to be done",
        button: "Do it",
        shown: { units: (typed) => typed["-what"] === "free-credit" },
        send: (body, key, typed) => doTo(serial, typed["-what"], body, key),
        done: ({ payment_id }) => goTo(to`payments/${payment_id}`, "Done. This carries the token."),
      },
      radios("-what", "Choose one", may("operations") ? [SEND, GIVE, UNLOCK, ...ACTIONS] : [SEND], "send-again"),
      amount("units", "kWh or days"),
      reason(),
    ),
  ],
})

export async function replaceView(serial) {
  const { kind, manufacturer } = await get(at`devices/${serial}`)
  return {
    title: `Replace ${serial}`,
    content: [
      note("Its customer goes on with the other one: plan, tariff, and what is left in this one."),
      form(
        {
          label: "Replacement",
          button: "Replace",
          send: (body, key) => post(at`devices/${serial}/replacement`, body, key),
          done: ({ device, payment }) =>
            payment
              ? goTo(to`payments/${payment.payment_id}`, "Replaced. This carries what was left.")
              : goTo(to`devices/${device.serial_number}`, "Replaced."),
        },
        text("serial_number", "Serial number of the new one"),
        kind === "meter" && amount("units", "kWh that were left", { required: false, hint: "As its display says." }),
        hasKey(manufacturer) && group("Its key", keyFields("technical.")),
        reason(),
      ),
    ],
  }
}

// --- keys ----------------------------------------------------------------------------------------

/** Whether tokens of that manufacturer are computed here, from a key of each device. */
export const hasKey = (manufacturer) => manufacturer.startsWith("openpaygo")

/** What OpenPAYGO needs of a device, below that path. */
export const keyFields = (path = "") => [
  text(path + "secret_key", "Secret key", { hint: "32 of 0–9 and a–f. It is never shown again." }),
  text(path + "starting_code", "Starting code", { of: "whole" }),
  text(path + "value_divider", "Value divider", { of: "whole", required: false, hint: "1, unless the maker says otherwise." }),
  text(path + "count", "Last count that was issued", { of: "whole", required: false, hint: "1 for a new device." }),
  check(path + "restricted_digits", "Its keypad has the digits 1 to 4 only"),
  check(path + "extended_tokens", "It takes extended tokens"),
]

export const technicalView = (serial) => ({
  title: `Key of ${serial}`,
  content: [
    form(
      {
        label: "Key",
        button: "Save",
        send: (body, key) => put(at`devices/${serial}/technical`, body, key),
        done: () => goTo(to`devices/${serial}`, "Saved."),
      },
      keyFields(),
    ),
  ],
})
