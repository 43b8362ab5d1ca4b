/** Sends a file of labels as the body of a request: the one call whose body is no JSON. */

import { ApiError, isAbort } from "./api.js";
import { strings } from "./strings.js";

/** The report. @param {File} file @param {{dryRun: boolean}} how @param {{signal?: AbortSignal}} options */
export async function bringIn(file, { dryRun }, { signal } = {}) {
  const format = (await file.slice(0, 1).text()) === "{" ? "jsonl" : "csv";
  let response;
  try {
    response = await fetch(`/api/labels/import?format=${format}&dry_run=${dryRun}`, { method: "POST", body: file, signal, headers: { "Content-Type": "application/octet-stream" } });
  } catch (error) {
    if (isAbort(error)) throw error;
    throw new ApiError({ status: 0, code: "unreachable", message: strings.errors.unreachable, hint: strings.errors.unreachableHint });
  }
  const body = await response.json().catch(() => null);
  if (response.ok && body) return body;
  throw new ApiError({ status: response.status, code: "http_error", message: strings.errors.status(response.status), ...body?.error });
}
