// Moving in and out: a portfolio that is sent, checked and taken in; everything as files.

import { at, download, get, may, post, sendFile } from "./api.js"
import { check, choice, file, form } from "./form.js"
import { action, badge, facts, goTo, link, make, note, parts, section, table, time, to } from "./page.js"
import { colourOf, moveOf } from "./words.js"

const LOOK_AGAIN_MS = 2_000

const state = (move) => badge(moveOf(move.state), colourOf(move.state))

export async function movingView() {
  const read = (what) => (cursor) => get(what, { limit: 20, ...(cursor && { cursor }) })
  const [imports, exports] = await Promise.all([may() ? read("imports")() : null, read("exports")()])
  const imported = (items) =>
    table("Imports", [
      ["Sent", (one) => link(to`imports/${one.import_id}`, time(one.made_at))],
      ["By", (one) => one.made_by],
      ["State", state],
      ["Rows", (one) => String(one.rows), "number"],
    ], items, "Nothing has moved in yet.")
  const exported = (items) =>
    table("Exports", [
      ["Begun", (one) => link(to`exports/${one.export_id}`, time(one.made_at))],
      ["By", (one) => one.made_by],
      ["State", state],
      ["Keys", (one) => (one.with_keys ? "with keys" : "without")],
    ], items, "Nothing has been taken out yet.")
  return {
    title: "Moving in and out",
    content: [
      imports && section("In", note("Customers, devices and plans from a file. Nothing is taken in before it is checked and you say so."), parts(imports, read("imports"), imported), make("p", { class: "actions" }, action("#/imports/new", "Send a file"))),
      section("Out", note("Everything that the company has, as files that can be read by people and moved in elsewhere."), parts(exports, read("exports"), exported), out()),
    ],
  }
}

const out = () =>
  form(
    {
      label: "Take everything out",
      button: "Take everything out",
      send: ({ with_keys = false }) => post("exports", { with_keys }),
      done: ({ export_id }) => goTo(to`exports/${export_id}`),
    },
    may() && check("with_keys", "With the secret keys of devices", "Whoever has such a file can make tokens."),
  )

// --- in ------------------------------------------------------------------------------------------

export const sendView = async () => ({
  title: "Send a file to move in",
  content: [
    form(
      {
        label: "Send a file",
        button: "Send and check",
        send: (_, __, typed) => sendFile("imports", typed["-file"], { format: typed["-format"] }),
        done: ({ import_id }) => goTo(to`imports/${import_id}`, "The file has arrived and is being checked."),
      },
      choice("-format", "What it is", [["portfolio", "A portfolio (CSV)"], ["mpm", "Exports of MicroPowerManager (ZIP, JSON or CSV)"]], { value: "portfolio" }),
      file("-file", "File", { accept: ".csv,.zip,.json", hint: "At most 4 MB. Several files will do, one after the other." }),
    ),
  ],
})

export async function importView(id) {
  const path = at`imports/${id}`
  const read = (cursor) => get(path + "/errors", { limit: 100, ...(cursor && { cursor }) })
  const show = async (one) => [
    facts(
      ["State", state(one)],
      ["Rows", String(one.rows)],
      ["Errors", one.error_count && String(one.error_count)],
      ["Written", one.written_rows && `${one.written_rows} (${one.percent} %)`],
      ["Could not be written", one.failed_rows && String(one.failed_rows)],
      ["Devices to complete", one.to_complete && String(one.to_complete)],
      ["Sent", `${time(one.made_at)}, ${one.made_by}`],
      ["Taken in by", one.written_by],
    ),
    one.state === "writing" && make("progress", { max: 100, value: one.percent, "aria-label": "Written" }),
    one.state === "checked" && section("Everything is in order", note(one.to_complete ? "Devices without a plan or key come in too, and wait on the review list." : "It can be taken in now."), takeIn(path)),
    one.format === "mpm" && one.state !== "checking" && make("p", { class: "actions" }, loads(path + "/portfolio", `${id}.csv`, "Load it as a portfolio")),
    (one.error_count || one.failed_rows) > 0 && section("What is wrong", parts(await read(), read, errors)),
  ]
  return { title: "Moving in", content: [await watched(() => get(path), ["checking", "writing"], show)] }
}

const errors = (items) =>
  table("Errors", [
    ["Row", (error) => String(error.row), "number"],
    ["Column", (error) => error.column || "–"],
    ["What", (error) => error.message],
  ], items)

const takeIn = (path) =>
  form({
    label: "Take it in",
    button: "Take it in",
    send: () => post(path + "/write"),
    done: () => goTo(location.hash, "It is being taken in."),
  })

// --- out -----------------------------------------------------------------------------------------

export async function exportView(id) {
  const path = at`exports/${id}`
  const show = (one) => [
    facts(
      ["State", state(one)],
      ["Customers", String(one.customers)],
      ["Devices", String(one.devices)],
      ["Begun", `${time(one.made_at)}, ${one.made_by}`],
      ["Keys", one.with_keys ? "With the secret keys of devices" : "Without keys"],
    ),
    section("Files", table("Files", [
      ["No.", (one) => String(one.number)],
      ["Rows", (one) => String(one.rows), "number"],
      ["File", (one) => loads(one.path.slice(1), `${id}-${one.number}.csv`, `Load file ${one.number}`)],
    ], one.files, "None yet.")),
  ]
  return { title: "Moving out", content: [await watched(() => get(path), ["running"], show)] }
}

const loads = (path, name, text) => {
  const button = make("button", { type: "button", class: "quiet" }, text)
  button.addEventListener("click", () =>
    download(path, name).catch(() => (button.textContent = `That did not work. ${text}`)),
  )
  return button
}

// --- both ----------------------------------------------------------------------------------------

/** What is read, shown anew every two seconds while it is in one of these states and looked at. */
async function watched(read, states, show) {
  const first = await read()
  const box = make("div", {}, (await show(first)).filter(Boolean))
  const again = async () => {
    if (!box.isConnected) return
    const now = await read().catch(() => null)
    if (!box.isConnected) return
    if (now) box.replaceChildren(...(await show(now)).filter(Boolean))
    if (!now || states.includes(now.state)) setTimeout(again, LOOK_AGAIN_MS)
  }
  if (states.includes(first.state)) setTimeout(again, LOOK_AGAIN_MS)
  return box
}
