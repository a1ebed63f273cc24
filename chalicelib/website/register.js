// Registering a solar home system or an e-bike, together with its customer.

import { all, at, get, post } from "./api.js"
import { personFields } from "./customers.js"
import { hasKey, keyFields } from "./devices.js"
import { choice, date, form, group, terms, termsShown, text } from "./form.js"
import { dayFromToday, goTo, link, make, money, note, to } from "./page.js"
import { kindOf } from "./words.js"

const OWN_TERMS = "own"

/**
 * What is asked of a device that is paid off, below that path: how it is sold, and its key.
 * `maker(typed)` is its manufacturer, where it is known already.
 */
export async function saleFields(path, maker) {
  const appliances = await all("appliances")
  const sold = appliances.filter(({ kind, default_plan }) => kind !== "appliance" && default_plan)
  const ownTerms = (typed) => typed["-sold"] === OWN_TERMS
  const paidOff = (typed) => !!maker(typed) && maker(typed).kind !== "meter"
  return {
    shown: {
      sale: paidOff,
      terms: ownTerms,
      key: (typed) => paidOff(typed) && hasKey(maker(typed).key),
      ...termsShown(path + "plan."),
    },
    fields: part(
      "sale",
      choice("-sold", "Sold as", [...sold.map((one) => [one.id, `${one.name}, ${money(one.price)}`]), [OWN_TERMS, "On terms of its own"]]),
      part("terms", group("How it is paid", terms(path + "plan.", { first_due: dayFromToday(30) }))),
      part("key", group("The device's key", keyFields(path + "technical."))),
    ),
    /** The appliance that was chosen, as the API takes it. */
    appliance: (typed) =>
      paidOff(typed) && !ownTerms(typed) ? { appliance_id: Number(typed["-sold"]) } : {},
  }
}

const part = (id, ...content) => make("div", { id }, content)

/** A choice of manufacturers. */
export const makerField = (name, makers, more) =>
  choice(name, "Manufacturer", makers.map(({ key, name, kind }) => [key, `${name} (${kindOf(kind)})`]), more)

export async function registerView(query) {
  const id = query.get("customer")
  let makers = []
  const [owner, person, sale] = await Promise.all([
    id && get(at`customers/${id}`),
    id ? [] : personFields("customer."),
    saleFields("device.", (typed) => makers.find(({ key }) => key === typed["device.manufacturer"])),
    all("manufacturers").then((found) => (makers = found.filter(({ kind }) => kind !== "meter"))),
  ])
  return {
    title: "Register a device",
    content: [
      owner
        ? note("For ", link(to`customers/${id}`, `${owner.name} ${owner.surname}`), `, ${owner.phone}.`)
        : note("For a new customer. Is the customer here already? ", link("#/find", "Find them"), " and register the device from their page."),
      form(
        {
          label: "Registration",
          button: "Register",
          shown: sale.shown,
          send: (body, key, typed) =>
            post("registrations", {
              ...body,
              customer: id ? { customer_id: id } : body.customer,
              device: { ...body.device, ...sale.appliance(typed) },
            }, key),
          done: ({ customer, device }) => goTo(to`customers/${customer.id}`, `Registered: ${device.serial_number}.`),
        },
        !id && group("Customer", person),
        group(
          "Device",
          makerField("device.manufacturer", makers),
          text("device.serial_number", "Serial number", { autocapitalize: "characters" }),
          sale.fields,
        ),
        date("registered_on", "Registered on", { required: false, hint: "Today, unless it moves in from elsewhere." }),
      ),
    ],
  }
}
