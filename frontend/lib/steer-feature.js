/** Links to the Steer page that turn one feature, for pages that need no more of what such a link can hold. */

/** encodeURIComponent, but what a query may carry as it is stays readable. */
export function encode(text) {
  return encodeURIComponent(text).replace(/%20/g, "+").replace(/%2F/g, "/").replace(/%2C/g, ",").replace(/%3A/g, ":");
}

/** As `steerPath` of pages/steer-link.js. @param {{source: string, index: number}} feature @param {string} [prompt] */
export function steerFeaturePath({ source, index }, prompt = "") {
  return `/steer?${prompt && `p=${encode(prompt)}&`}f=${encode(`${source}/${index}`)}`;
}
