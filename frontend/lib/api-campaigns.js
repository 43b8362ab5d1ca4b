/** Calls to the server about one campaign: how far it is; opening it; changing, closing and reopening it. As in lib/api.js. */

import { json, queryString } from "./api.js";

const campaignUrl = (id) => `/api/campaigns/${encodeURIComponent(id)}`;

export const campaigns = {
  one: (id, options) => json(campaignUrl(id), options),
  open: (body, options) => json("/api/campaigns", { ...options, method: "POST", body }),
  change: (id, body, options) => json(`${campaignUrl(id)}/events`, { ...options, method: "POST", body }),
  people: (options) => json("/api/campaigns/people", options),
  /** What to judge next. `lease` is a client UUID: the same again is the same feature, as long as it is kept for one. */
  nextItem: (id, lease, options) => json(`${campaignUrl(id)}/next`, { ...options, method: "POST", body: { lease } }),
  keepLease: (id, lease, options) => json(`${campaignUrl(id)}/leases/${encodeURIComponent(lease)}`, { ...options, method: "PUT" }),
  giveOpinion: (id, body, options) => json(`${campaignUrl(id)}/opinions`, { ...options, method: "POST", body }),
  skipItem: (id, body, options) => json(`${campaignUrl(id)}/skips`, { ...options, method: "POST", body }),
  /** What is to be decided; params: at, limit. */
  review: (id, params, options) => json(`${campaignUrl(id)}/review${queryString(params)}`, options),
};
