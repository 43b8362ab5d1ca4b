/** Calls to the server about accounts; fetched by the pages that are about them. As in lib/api.js. */

import { json, queryString } from "./api.js";

export const accounts = {
  logIn: (body, options) => json("/api/session", { ...options, method: "POST", body, ask: false }),
  /** What a link that works once is for, and using it. */
  lookAtInvitation: (token, options) => json("/api/join/look", { ...options, method: "POST", body: { token } }),
  join: (body, options) => json("/api/join", { ...options, method: "POST", body }),
  lookAtReset: (token, options) => json("/api/reset/look", { ...options, method: "POST", body: { token } }),
  resetPassword: (body, options) => json("/api/reset", { ...options, method: "POST", body }),

  /** One's own account. */
  changePassword: (body, options) => json("/api/account/password", { ...options, method: "PUT", body }),
  logins: (options) => json("/api/account/sessions", options),
  endLogin: (id, options) => json(`/api/account/sessions/${encodeURIComponent(id)}`, { ...options, method: "DELETE" }),
  endOtherLogins: (options) => json("/api/account/sessions", { ...options, method: "DELETE" }),
  tokens: (options) => json("/api/account/tokens", options),
  makeToken: (body, options) => json("/api/account/tokens", { ...options, method: "POST", body }),
  revokeToken: (id, options) => json(`/api/account/tokens/${encodeURIComponent(id)}`, { ...options, method: "DELETE" }),

  /** For admins; params of the log: before, action, limit. */
  people: (options) => json("/api/admin/people", options),
  changePerson: (id, body, options) => json(`/api/admin/people/${encodeURIComponent(id)}`, { ...options, method: "PATCH", body }),
  makeReset: (id, options) => json(`/api/admin/people/${encodeURIComponent(id)}/reset`, { ...options, method: "POST" }),
  invitations: (options) => json("/api/admin/invitations", options),
  invite: (body, options) => json("/api/admin/invitations", { ...options, method: "POST", body }),
  revokeInvitation: (id, options) => json(`/api/admin/invitations/${encodeURIComponent(id)}`, { ...options, method: "DELETE" }),
  audit: (params, options) => json(`/api/admin/audit${queryString(params)}`, options),
};
