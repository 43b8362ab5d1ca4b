/** Who is in. On a server without accounts that is the one person at the computer. */

import { api } from "./api.js";
import { Store } from "./store.js";

/** Pages for whoever is not in (yet). */
export const OPEN_PAGES = ["/login", "/join", "/reset"];

/** accounts: whether people log in here; person: { id, name, role, permissions } or null for nobody known. */
export const who = new Store({ accounts: false, person: null });

export async function loadPerson(options) {
  const { accounts, person } = await api.session(options);
  who.set({ accounts, person });
  return who.state;
}

/** Whether this page is of no use to somebody who is not in. */
export const mustLogIn = () => !OPEN_PAGES.includes(location.pathname);

/** The login page, from which one comes back to where one is. */
export function loginPath() {
  const here = location.pathname + location.search + location.hash;
  return here === "/" || OPEN_PAGES.includes(location.pathname) ? "/login" : `/login?next=${encodeURIComponent(here)}`;
}

/** `next` of the login page as a path of this app: never another site's, whatever stands there. */
export function nextPath(next) {
  try {
    const url = new URL(next || "/", location.origin);
    if (url.origin === location.origin && !OPEN_PAGES.includes(url.pathname)) return url.pathname + url.search + url.hash;
  } catch {
    // no URL at all
  }
  return "/";
}

/** Logs out, and leaves everything that was read behind: the page is loaded anew. */
export async function logOut() {
  await api.logOut();
  location.assign("/login");
}
