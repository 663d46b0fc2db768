/** A live topic whose values are pictures, as an image that follows it: the newest, one after the other. */

import { h } from "./dom.js";

/**
 * Mount an image that shows a topic's newest picture. A picture that comes while one is loading waits, and the ones
 * before it are left out, so a slow line shows fewer pictures, never old ones.
 * @param {HTMLElement} element
 * @param {(topic: string, callback: (data: any, time_ns: number) => void) => () => void} subscribe
 * @param {string} topic
 * @param {string} alt what the picture shows, in words
 * @returns {{image: HTMLImageElement, end: () => void}}
 */
export function mountPicture(element, subscribe, topic, alt) {
  const image = /** @type {HTMLImageElement} */ (h("img", { class: "live-picture", alt, decoding: "async" }));
  let next = "";
  let loading = false;
  const load = () => {
    loading = next !== "";
    if (loading) [image.src, next] = [next, ""];
  };
  image.addEventListener("load", load);
  image.addEventListener("error", load);
  const end = subscribe(topic, (data, time_ns) => {
    if (typeof data?.href !== "string") return;
    next = `${data.href}?time_ns=${time_ns}`; // an address of its own, or the browser would show the one it has
    if (!loading) load();
  });
  element.append(image);
  return { image, end };
}
