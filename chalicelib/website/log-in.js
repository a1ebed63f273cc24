// Logging in, and choosing a password of one's own at the first time.

import { choosePassword, logIn } from "./api.js"
import { form, text } from "./form.js"
import { make, note } from "./page.js"

/** The log-in; `done()` when somebody is logged in. `email` is who was, where a session ended. */
export function logInView({ email = "", because, done }) {
  const box = make("div", { class: "narrow" })
  const password = (name, label, autocomplete, hint) =>
    text(name, label, { type: "password", autocomplete, hint })

  const first = form(
    {
      label: "Log in",
      button: "Log in",
      done,
      send: async ({ email, password }) => {
        try {
          await logIn(email, password)
        } catch (problem) {
          if (problem.code !== "password_change_required") throw problem
          await chosen(email, password)
        }
      },
    },
    text("email", "E-mail", { type: "email", autocomplete: "username", inputmode: "email", value: email }),
    password("password", "Password", "current-password"),
  )

  /** Ask for a new password; over when it is set. */
  const chosen = (email, temporary) =>
    new Promise((over) => {
      const second = form(
        {
          label: "Choose a password",
          button: "Set the password",
          done: over,
          send: ({ new_password }, _, typed) => {
            if (typed["-again"] !== new_password) throw mismatch()
            return choosePassword(email, temporary, new_password)
          },
        },
        make("input", { type: "email", autocomplete: "username", value: email, hidden: true }),
        password("new_password", "New password", "new-password", "At least 12 characters."),
        password("-again", "The same again", "new-password"),
      )
      box.replaceChildren(note("This is your first log-in. Choose a password of your own."), second)
      second.elements.new_password.focus()
    })

  box.append(...[because && note(because), first].filter(Boolean))
  return { title: "Log in", content: [box] }
}

const mismatch = () =>
  Object.assign(new Error(), {
    status: 422,
    errors: [{ field: "-again", message: "The two are not the same." }],
  })
