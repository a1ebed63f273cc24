// The API's words, in words for people. What is not listed is shown as it is, with spaces.

const plainly = (code) => code.replaceAll("_", " ")
const from = (words) => (code) => words[code] ?? plainly(code ?? "")

export const kindOf = from({
  meter: "Meter",
  shs: "Solar home system",
  e_bike: "E-bike",
  appliance: "Appliance",
  device: "Instalments",
  access_rate: "Access fee",
  energy: "Energy",
  time: "Days",
  unlock: "Unlocks for good",
  credit: "Credit",
})

export const statusOf = from({
  pending: "Checkout open",
  received: "Received",
  vending: "Token on its way",
  completed: "Completed",
  refused: "Refused",
  expired: "Expired",
  refund_due: "Will go back",
  refunding: "Going back",
  refunded: "Gone back",
  held: "Held",
})

export const moveOf = from({
  checking: "Being checked",
  refused: "Not in order",
  checked: "In order",
  writing: "Being taken in",
  done: "Done",
  running: "Being written",
})

export const colourOf = (status) =>
  ({ completed: "good", paid: "good", done: "good", checked: "good", active: "good", unlocked: "good", held: "bad", refused: "bad", needs_review: "bad" })[
    status
  ] ?? ""

export const stateOf = from({
  active: "Active",
  unassigned: "Nobody's",
  unlocked: "Unlocked for good",
  needs_review: "Needs a look",
  open: "Open",
  paid: "Paid off",
  cancelled: "Cancelled",
  written_off: "Written off",
})

export const reasonOf = from({
  paused: "Payments this way were paused.",
  wrong_currency: "Paid in another currency than the company's.",
  unknown_device: "No device has this serial number.",
  device_unassigned: "The device belongs to nobody.",
  no_tariff: "The meter has no tariff.",
  no_plan: "The device has no plan.",
  device_moved: "The device changed hands between payment and settlement.",
  vend_uncertain: "Nobody knows whether the manufacturer issued a token.",
  vend_refused: "The manufacturer said no, or could not be reached.",
  not_issued: "A person said that no token was issued.",
  refund_uncertain: "Nobody knows whether the provider has taken the refund.",
  refund_refused: "The provider said no to the refund, or could not be reached.",
  partly_refunded: "A part was given back; the rest lies in no account.",
  paid_otherwise: "Another sum was paid than was agreed. It is in no account.",
  refund_slow: "The refund has been under way for more than 14 days.",
  unconfirmed: "A large sum, told by somebody who signs nothing. It waits for a proof.",
  result_not_taken: "The provider keeps the money reserved and takes neither yes nor no.",
  reversed_by_provider: "The provider took the money back before it was settled.",
  stuck: "No progress, although it was tried again and again.",
  possible_duplicate: "Another customer has this phone number, under another name.",
  serial_taken: "The serial number is somebody else's. Nothing was registered.",
  unknown_village: "The village is not known here. Nothing was registered.",
  unknown_tariff: "The tariff is not known here. Nothing was registered.",
  unknown_manufacturer: "The manufacturer is not known here. Nothing was registered.",
  account_full: "The customer has as many devices as an account holds.",
  not_accepted: "Something does not fit. Nothing was registered.",
  unfinished: "Something broke on the way.",
  no_key: "The device's key is missing.",
})

/** The ways out of a held payment, by its reason; where the reason is not listed, all of them. */
export const waysOut = (reason) => WAYS_BY_REASON[reason] ?? Object.keys(WAYS)

const TO_NOBODY = ["assign", "retry", "refund"]
const WAYS_BY_REASON = {
  unknown_device: TO_NOBODY,
  device_unassigned: TO_NOBODY,
  no_tariff: TO_NOBODY,
  no_plan: TO_NOBODY,
  device_moved: ["assign", "retry", "refund"],
  vend_uncertain: ["token", "retry", "not_issued", "credit", "refund"],
  vend_refused: ["retry", "credit", "refund"],
  not_issued: ["retry", "credit", "refund"],
  refund_uncertain: ["refunded", "retry", "not_issued"],
  refund_refused: ["retry", "refund", "credit", "assign"],
  refund_slow: ["refunded", "retry", "not_issued"],
  partly_refunded: ["assign", "refund"],
  paid_otherwise: ["refunded"],
  unconfirmed: ["retry", "not_paid", "refund"],
  result_not_taken: ["retry", "not_paid"],
  reversed_by_provider: ["not_paid"],
}

/** Each way: what it is called, and what it does. */
export const WAYS = {
  retry: ["Try again", "Lets the payment go on. Put right first what was wrong."],
  token: ["Enter the token", "You have found the token in the manufacturer's records. The customer gets it by SMS."],
  not_issued: ["No token was issued", "You have looked it up. The payment stays held until you choose what follows. For a refund: it was not taken."],
  credit: ["Turn it into credit", "No token was issued. The money is used at the customer's next payment."],
  assign: ["Give it to the right device", "The payer typed a wrong serial number, and you know the right one."],
  not_paid: ["No money is there", "You have seen in the provider's portal that it was never paid, or taken back."],
  refunded: ["It was given back", "You have seen in the provider's portal that the payer has the money."],
  refund: ["Give it back", "The provider is asked to return what has bought nothing."],
}

const PROBLEMS = {
  no_answer: "No answer came: the line may be down. Try again; nothing is done twice.",
  try_again: "This did not work just now. Try again; nothing is done twice.",
  internal_error: "Something is wrong on our side. Try again later.",
  too_many_requests: "Too much at once. Wait a moment, then try again.",
  invalid_credentials: "E-mail or password is not right. After several wrong tries, wait a minute.",
  unauthorized: "Your session has ended. Log in again.",
  float_exceeded: "The agent holds as much cash as they may. Hand cash in first.",
  forbidden: "Your role does not allow this.",
  meter_registration_requires_app: "Meters are registered in the field, with the registration app.",
  not_found: "There is nothing of that kind here.",
  in_use: "It is still in use, so it cannot be removed.",
  name_taken: "That name is taken. Was it perhaps your own first try?",
  reference_conflict: "This was sent before with other details. See whether it has arrived before you send it once more.",
  device_has_open_plan: "The device has a plan that is not paid off yet.",
  not_held: "This payment is not held any more. Somebody may have been quicker: open it again.",
  not_refundable: "It cannot go back: it was used, there is not as much, or this channel has no way back.",
  full_refund_only: "This channel gives back all or nothing. Make it credit instead.",
  version_conflict: "Somebody changed this at the same moment. Look again, then repeat it.",
  not_in_review: "Nothing is left to do here. Somebody may have been quicker.",
  account_full: "This customer has as many devices or open plans as an account holds.",
}

/** A problem in plain words. */
export const problemText = (problem) =>
  PROBLEMS[problem.code] ??
  (problem.status >= 500 ? PROBLEMS.try_again : problem.detail || "This was not accepted.")
