// Registering a solar home system or an e-bike, together with its customer.

import { all, at, get, post } from "./api.js"
import { personFields } from "./customers.js"
import { hasKey, keyFields } from "./devices.js"
import { choice, date, form, group, terms, termsShown, text } from "./form.js"
import { dayFromToday, link, make, money, note, say, to } from "./page.js"
import { kindOf } from "./words.js"

const OWN_TERMS = "own"

/** The manufacturers and appliances to choose from, and what of the form is then asked for. */
export async function deviceChoices(path) {
  const [manufacturers, appliances] = await Promise.all([all("manufacturers"), all("appliances")])
  const makers = manufacturers.filter(({ kind }) => kind !== "meter")
  const sold = appliances.filter(({ kind, default_plan }) => kind !== "appliance" && default_plan)
  const maker = (typed) => makers.find(({ key }) => key === typed[path + "manufacturer"])
  const ownTerms = (typed) => typed["-sold"] === OWN_TERMS
  const soldAs = sold.map((one) => [one.id, `${one.name}, ${money(one.price)}`])
  return {
    shown: {
      key: (typed) => !!maker(typed) && hasKey(maker(typed).key),
      terms: ownTerms,
      ...termsShown(path + "plan."),
    },
    fields: [
      choice(path + "manufacturer", "Manufacturer", makers.map(({ key, name, kind }) => [key, `${name} (${kindOf(kind)})`])),
      text(path + "serial_number", "Serial number", { autocapitalize: "characters" }),
      choice("-sold", "Sold as", [...soldAs, [OWN_TERMS, "On terms of its own"]]),
      part("terms", group("How it is paid", terms(path + "plan.", { first_due: dayFromToday(30) }))),
      part("key", group("The device's key", keyFields(path + "technical."))),
    ],
    /** The appliance that was chosen, as the API takes it. */
    appliance: (typed) => (ownTerms(typed) ? {} : { appliance_id: Number(typed["-sold"]) }),
  }
}

const part = (id, content) => make("div", { id }, content)

export async function registerView(query) {
  const id = query.get("customer")
  const [owner, device, person] = await Promise.all([
    id && get(at`customers/${id}`),
    deviceChoices("device."),
    id ? [] : personFields("customer."),
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
          shown: device.shown,
          send: (body, key, typed) =>
            post("registrations", {
              ...body,
              customer: id ? { customer_id: id } : body.customer,
              device: { ...body.device, ...device.appliance(typed) },
            }, key),
          done: ({ customer, device }) => {
            location.hash = to`customers/${customer.id}`
            say(`Registered: ${device.serial_number}.`)
          },
        },
        !id && group("Customer", person),
        group("Device", device.fields),
        date("registered_on", "Registered on", { required: false, hint: "Today, unless it moves in from elsewhere." }),
      ),
    ],
  }
}
