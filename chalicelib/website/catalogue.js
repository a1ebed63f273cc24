// Tariffs and appliances: what energy costs, and what is sold on plans.

import { all, at, get, may, post, put } from "./api.js"
import { amount, choice, form, group, radios, text } from "./form.js"
import { action, goTo, link, make, money, note, table, time, to } from "./page.js"
import { kindOf } from "./words.js"

// --- tariffs -------------------------------------------------------------------------------------

export async function tariffsView() {
  const tariffs = await all("tariffs")
  return {
    title: "Tariffs",
    content: [
      may() && make("p", { class: "actions" }, action("#/tariffs/new", "Add a tariff")),
      table("Tariffs", [
        ["Name", (tariff) => (may() ? link(to`tariffs/${tariff.id}`, tariff.name) : tariff.name)],
        ["Price per kWh", (tariff) => money(tariff.price_per_kwh), "number"],
        ["Access fee", (tariff) => (tariff.access_rate ? `${money(tariff.access_rate.amount)} every ${tariff.access_rate.period_days} days` : "–")],
        ["Smallest purchase", (tariff) => money(tariff.minimum_purchase) ?? "–", "number"],
        ["In force from", (tariff) => time(tariff.effective_from)],
      ], tariffs, "There are no tariffs yet."),
    ],
  }
}

export async function tariffView(id) {
  const isNew = id === "new"
  const tariff = isNew ? {} : await get(at`tariffs/${id}`)
  const fee = tariff.access_rate ?? {}
  return {
    title: isNew ? "Add a tariff" : `Change ${tariff.name}`,
    content: [
      isNew ? null : note("A change is in force after a minute. Payments made before it keep the old price."),
      form(
        {
          label: "Tariff",
          button: "Save",
          send: (body, key) => (isNew ? post("tariffs", body, key) : put(at`tariffs/${id}`, body, key)),
          done: () => goTo("#/tariffs", "Saved."),
        },
        text("name", "Name", { value: tariff.name, autocapitalize: "sentences" }),
        amount("price_per_kwh", "Price per kWh", { value: tariff.price_per_kwh }),
        amount("minimum_purchase", "Smallest purchase", { required: false, value: tariff.minimum_purchase, hint: "Less than that is kept for the next time." }),
        group(
          "Access fee, if there is one",
          amount("access_rate.amount", "Amount", { required: false, value: fee.amount }),
          text("access_rate.period_days", "Every so many days", { of: "whole", required: false, value: fee.period_days }),
        ),
      ),
    ],
  }
}

// --- appliances ----------------------------------------------------------------------------------

export async function appliancesView() {
  const appliances = await all("appliances")
  return {
    title: "Appliances",
    content: [
      may() && make("p", { class: "actions" }, action("#/appliances/new", "Add an appliance")),
      table("Appliances", [
        ["Name", (one) => one.name],
        ["Kind", (one) => kindOf(one.kind)],
        ["Price", (one) => money(one.price), "number"],
        ["Usually paid", ({ default_plan: plan }) => (plan ? usually(plan) : "–")],
      ], appliances, "There are no appliances yet."),
    ],
  }
}

const usually = (plan) =>
  `${money(plan.down_payment)} down, then ${
    plan.instalment_amount ? `${money(plan.instalment_amount)} a ${plan.every}` : `${plan.instalments} times, one a ${plan.every}`
  }`

export async function applianceView() {
  const planned = (typed) => typed["-plan"] === "yes"
  const by = (way) => (typed) => planned(typed) && typed["-by"] === way
  const makers = (await all("manufacturers")).filter(({ kind }) => kind !== "meter")
  return {
    title: "Add an appliance",
    content: [
      form(
        {
          label: "Appliance",
          button: "Save",
          shown: {
            plan: planned,
            manufacturer: (typed) => ["shs", "e_bike"].includes(typed.kind),
            "default_plan.instalments": by("number"),
            "default_plan.instalment_amount": by("size"),
          },
          send: (body, key) => post("appliances", body, key),
          done: () => goTo("#/appliances", "Saved."),
        },
        text("name", "Name", { autocapitalize: "sentences" }),
        choice("kind", "Kind", ["appliance", "shs", "e_bike"].map((kind) => [kind, kindOf(kind)])),
        choice("manufacturer", "Manufacturer", makers.map(({ key, name }) => [key, name]), { required: false, hint: "Devices of it that the field registers are then sold as this." }),
        amount("price", "Price"),
        radios("-plan", "Is there a usual way to pay it?", [["yes", "Yes"], ["no", "No"]], "yes"),
        make(
          "div",
          { id: "plan" },
          group(
            "The usual way",
            amount("default_plan.down_payment", "Down payment", { required: false }),
            radios("-by", "Paid off in", [["number", "so many instalments"], ["size", "instalments of so much"]], "number"),
            text("default_plan.instalments", "Number of instalments", { of: "whole" }),
            amount("default_plan.instalment_amount", "Each instalment"),
            choice("default_plan.every", "One every", [["week", "week"], ["month", "month"]], { value: "month" }),
            text("default_plan.first_due_after_days", "First due after so many days", { of: "whole", value: 30 }),
          ),
        ),
      ),
    ],
  }
}
