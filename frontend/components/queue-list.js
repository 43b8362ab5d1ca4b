/** Campaigns in a list: how far each is, and what one can do about it. */

import { h } from "../lib/dom.js";
import { plural } from "../lib/format.js";
import { queue as text } from "../pages/label-queue-strings.js";

const day = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium" });

export const campaignPath = (id, view = "") => `/label/${encodeURIComponent(id)}${view && `/${view}`}`;

/** `act(campaign, kind)` closes or reopens one. */
export function campaignList(campaigns, permissions, act) {
  return h("ul", { class: "campaigns" }, campaigns.map((campaign) => card(campaign, permissions, act)));
}

function card(campaign, permissions, act) {
  const { id, name, instructions, blind, people, due_at: due, closed_at: closed, author, progress } = campaign;
  const reviews = permissions.includes("review");
  const open = closed === null;
  const overdue = open && due !== null && new Date(due) < new Date();
  const works = open && campaign.takes_part && progress.left_for_me > 0;
  const of = (way) => ({ dataset: { key: `${way} ${id}` } }); // so that the focus stays where the list is read anew
  return h(
    "li",
    { class: open ? "panel campaign" : "panel campaign is-closed", dataset: { campaign: id } },
    h(
      "div",
      { class: "campaign-head" },
      h("h2", {}, h("bdi", {}, name)),
      blind && h("span", { class: "tag" }, text.blind),
      !open && h("span", { class: "tag" }, text.closed),
      due !== null && open && h("span", { class: overdue ? "tag is-overdue" : "tag" }, overdue && `${text.overdue}: `, text.due(day.format(new Date(due)))),
    ),
    instructions && h("p", { class: "campaign-instructions" }, instructions),
    progressBar(campaign),
    h("p", { class: "muted small" }, [
      people === null ? text.openToAll : people.map((person) => person.name).join(", "),
      text.by(author.name),
      campaign.takes_part && text.mine(progress),
      progress.given > progress.mine && plural(progress.given, "opinion", "opinions"),
    ].filter(Boolean).join(" · ")),
    h(
      "div",
      { class: "campaign-actions" },
      works && h("a", { ...of("work"), class: "button primary", href: campaignPath(id), "aria-label": `${progress.mine ? text.goOn : text.work}: ${name}` }, progress.mine ? text.goOn : text.work),
      reviews && h("a", { ...of("review"), class: "button", href: campaignPath(id, "review"), "aria-label": `${text.review}: ${name}` }, text.review, progress.to_review > 0 && h("span", { class: "tag" }, text.toReview(progress.to_review))),
      h("a", { ...of("agreement"), class: "button quiet", href: `/agreement?campaign=${encodeURIComponent(id)}`, "aria-label": `${text.agreementOf}: ${name}` }, text.agreementOf),
      reviews && open && h("a", { ...of("change"), class: "button quiet", href: campaignPath(id, "change"), "aria-label": `${text.edit}: ${name}` }, text.edit),
      reviews && h("button", { ...of("close"), type: "button", class: "quiet", "aria-label": `${open ? text.close : text.reopen}: ${name}`, onclick: () => act(campaign, open ? "close" : "reopen") }, open ? text.close : text.reopen),
    ),
  );
}

/** Features that have their opinions, of all. */
export function progressBar({ name, progress, opinions }) {
  const words = text.progress(progress, opinions);
  return h("div", { class: "campaign-progress" }, h("progress", { max: progress.features, value: progress.complete, "aria-label": `${name}: ${words}` }), h("span", { class: "small" }, words));
}
