// Sites: clusters, the mini-grids in them, and the villages in those.

import { all, at, may, post, put } from "./api.js"
import { choice, form, text } from "./form.js"
import { action, goTo, link, make, section, table, to } from "./page.js"

/** Each kind of site: its path, what one and many are called, and what it lies in. */
const KINDS = {
  clusters: { one: "cluster", many: "Clusters" },
  "mini-grids": { one: "mini-grid", many: "Mini-grids", within: "clusters", field: "cluster_id" },
  villages: { one: "village", many: "Villages", within: "mini-grids", field: "mini_grid_id" },
}

const byId = (sites) => Object.fromEntries(sites.map(({ id, name }) => [id, name]))

/** The names of the villages, by id. */
export const villageNames = async () => byId(await all("villages"))

/** A choice of villages, each under its mini-grid. */
export async function villageField(name, value, more = {}) {
  const [villages, grids] = await Promise.all([all("villages"), all("mini-grids")])
  const options = grids
    .map((grid) => [grid.name, villages.filter(({ mini_grid_id }) => mini_grid_id === grid.id).map(({ id, name }) => [id, name])])
    .filter(([, inside]) => inside.length)
  return choice(name, "Village", options, { of: "whole", value, ...more })
}

export async function sitesView() {
  const kinds = Object.keys(KINDS)
  const lists = await Promise.all(kinds.map((kind) => all(kind)))
  const names = Object.fromEntries(kinds.map((kind, i) => [kind, byId(lists[i])]))
  return {
    title: "Sites",
    content: kinds.map((kind, i) => {
      const { one, many, within, field } = KINDS[kind]
      return section(
        many,
        table(many, [
          ["Name", (site) => (may() ? link(to`sites/${kind}/${site.id}`, site.name) : site.name)],
          ...(within ? [["In", (site) => names[within][site[field]]]] : []),
        ], lists[i]),
        may() && make("p", { class: "actions" }, action(to`sites/${kind}/new`, `Add a ${one}`)),
      )
    }),
  }
}

export async function siteView(kind, id) {
  const { one, within, field } = KINDS[kind]
  const isNew = id === "new"
  const [sites, around] = await Promise.all([isNew ? [] : all(kind), within ? all(within) : []])
  const site = sites.find((some) => String(some.id) === id) ?? {}
  return {
    title: isNew ? `Add a ${one}` : `Change ${site.name}`,
    content: [
      form(
        {
          label: one,
          button: "Save",
          send: (body, key) => (isNew ? post(kind, body, key) : put(at`${kind}/${id}`, body, key)),
          done: () => goTo("#/sites", "Saved."),
        },
        text("name", "Name", { value: site.name, autocapitalize: "words" }),
        within && choice(field, `In which ${KINDS[within].one}`, around.map(({ id, name }) => [id, name]), { of: "whole", value: site[field] }),
      ),
    ],
  }
}
