/** An error as one text for where there is no room for a view of its own. */

/** @param {any} error */
export const errorText = (error) => [error.message, error.hint].filter(Boolean).join(" ");
