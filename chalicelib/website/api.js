// Calls the API, as whoever has logged in. The session is kept in this tab alone, and sent in a
// header: no other site can act with it, as it could with a cookie.

const BASE = new URL("../", import.meta.url) // this file is <API>/office/api.js
const KEPT_AS = "mwanga-session"
const TIME_OUT_MS = 40_000 // the API itself gives up before

/** What went wrong. `status` 0: there was no answer, so nobody knows what was done. */
export class Problem extends Error {
  constructor({ status = 0, code = "no_answer", detail = "", errors = [] } = {}) {
    super(detail)
    Object.assign(this, { status, code, detail, errors })
  }

  /** Whether the same request may be sent again, because it may not have been done. */
  get unknown() {
    return this.status === 0 || this.status >= 500
  }
}

/** A path whose variable parts are encoded: at`customers/${id}`. */
export const at = (texts, ...values) => String.raw({ raw: texts }, ...values.map(encodeURIComponent))

// --- the session ---------------------------------------------------------------------------------

let session = JSON.parse(sessionStorage.getItem(KEPT_AS))
let whenEnded = () => {}

export const loggedIn = () => session !== null
export const email = () => session.email

/** Whether one of these roles, or an admin, has logged in. */
export const may = (...roles) =>
  session !== null && ["admin", ...roles].some((role) => session.roles.includes(role))

/** What to do when the API says that the session has ended. */
export const onEnd = (action) => (whenEnded = action)

function keep(found) {
  session = found
  if (found) sessionStorage.setItem(KEPT_AS, JSON.stringify(found))
  else sessionStorage.removeItem(KEPT_AS)
}

const opened = (email, { access_token, roles }) => keep({ email, token: access_token, roles })

export async function logIn(email, password) {
  opened(email, await call("POST", "auth/login", { email, password }))
}

export async function choosePassword(email, password, new_password) {
  opened(email, await call("POST", "auth/password", { email, password, new_password }))
}

/** Log out; here in any case, even where the API cannot be reached. */
export async function logOut() {
  const said = call("POST", "auth/logout").catch(() => {})
  keep(null)
  await said
}

// --- calls ---------------------------------------------------------------------------------------

export const get = (path, query = {}) => call("GET", path + asQuery(query))
export const post = (path, body, key) => call("POST", path, body, key)
export const put = (path, body, key) => call("PUT", path, body, key)

/** Send a file as it is. What it is called says what it is. */
export function sendFile(path, file, query) {
  const types = { zip: "application/zip", json: "application/json" }
  const type = types[file.name.toLowerCase().split(".").pop()] ?? "application/octet-stream"
  return call("POST", path + asQuery(query), new Blob([file], { type }))
}

/** Have the browser keep a file under that name. */
export async function download(path, name) {
  const href = URL.createObjectURL(new Blob([await call("GET", path)], { type: "text/csv" }))
  const link = Object.assign(document.createElement("a"), { href, download: name })
  link.click()
  URL.revokeObjectURL(href)
}

/** What is there; null where there is nothing. */
export const getIfThere = (path, query) =>
  get(path, query).catch((problem) => {
    if (problem.status === 404) return null
    throw problem
  })

/** Every item of a list. For lists of a company's own things, which are short. */
export async function all(path, query = {}) {
  const items = []
  let next = null
  do {
    const part = await get(path, { ...query, limit: 100, ...(next && { cursor: next }) })
    items.push(...part.items)
    next = part.next
  } while (next)
  return items
}

const asQuery = (query) => {
  const text = new URLSearchParams(query).toString()
  return text && "?" + text
}

async function call(method, path, body, key) {
  const asked = session
  const headers = {}
  if (asked) headers.Authorization = "Bearer " + asked.token
  if (key) headers["Idempotency-Key"] = key
  const isFile = body instanceof Blob
  if (body !== undefined) headers["Content-Type"] = isFile ? body.type : "application/json"
  const request = {
    method,
    headers,
    body: isFile ? body : body && JSON.stringify(body),
    cache: "no-store",
    credentials: "omit",
    signal: AbortSignal.timeout(TIME_OUT_MS),
  }
  waiting(+1)
  try {
    const answer = await fetch(new URL(path, BASE), request)
    const text = await answer.text()
    const isJson = answer.headers.get("Content-Type")?.startsWith("application/json")
    if (answer.ok) return text && isJson ? JSON.parse(text) : text
    throw problemIn(answer.status, text)
  } catch (error) {
    const problem = error instanceof Problem ? error : new Problem()
    if (problem.code === "unauthorized" && asked && asked === session) {
      keep(null)
      whenEnded(asked.email)
    }
    throw problem
  } finally {
    waiting(-1)
  }
}

function problemIn(status, text) {
  try {
    return new Problem({ ...JSON.parse(text), status })
  } catch {
    return new Problem({ status, code: "unreadable" })
  }
}

// --- the line ------------------------------------------------------------------------------------

const SHOWN_AFTER_MS = 150
const SLOW_AFTER_MS = 6_000

let open = 0
let timers = []

/** Show that something is under way, and say so where it takes long. */
function waiting(change) {
  const before = open
  open += change
  const say = (text) => {
    document.getElementById("waiting").textContent = text
    document.body.classList.toggle("waits", text !== "")
  }
  if (open === 0) {
    timers.forEach(clearTimeout)
    say("")
  } else if (before === 0) {
    timers = [
      setTimeout(say, SHOWN_AFTER_MS, "Waiting for the answer …"),
      setTimeout(say, SLOW_AFTER_MS, "The line is slow. Still waiting; nothing is done twice …"),
    ]
  }
}
