/** The imaging worklist: the most urgent study first, with its picture and the map of what speaks for the finding. */

import { h as make, loadStyle, setText as text } from "/dom.js";

const TOPIC = "healthcare.imaging/study";
const ADDRESS = "/v1/healthcare/studies";
const SHOWN = 24;
const LOOK_EVERY_MS = 10000; // what waits raises no event
const TRIAGE = { 1: "now", 2: "soon", 3: "needs a reader", 4: "routine" };
const WORDS = { FINDING: "Finding", NO_FINDING: "Nothing found", CANNOT_TELL: "Cannot tell", REFUSED: "Refused", WAITING: "Waits" };

/**
 * @typedef {{study: string, reference: string, status: keyof typeof WORDS, modality: string, finding: string, probability: number | null,
 *   triage: 1 | 2 | 3 | 4, reason: string, message: string, model: string, version: string, digest: string, answered_at: string, pictured: boolean}} Study
 * @typedef {{subscribe: (topic: string, callback: (data: any) => void) => () => void, fetch: (path: string, options?: RequestInit) => Promise<Response>}} Api
 */

/** @param {HTMLElement} element @param {Api} api */
export async function mount(element, api) {
  await loadStyle(new URL("imaging.css", import.meta.url).href);
  const list = make("ol", { class: "studies", role: "list", "aria-label": "Worklist, the most urgent first" });
  const none = make("p", { class: "studies-none", role: "status" }, "No study has come yet.");
  const foot = make("p", { class: "studies-foot" }, "Select a picture to see what speaks for the finding. Not a medical device: a qualified person reads every study.");
  element.replaceChildren(list, none, foot);
  /** @type {Map<string, {row: HTMLElement, said: string}>} */
  const rows = new Map();
  let busy = false;
  let again = false;

  const look = async () => {
    if (busy) {
      again = true;
      return;
    }
    busy = true;
    try {
      do {
        again = false;
        const answer = await api.fetch(`${ADDRESS}?limit=${SHOWN}`);
        if (!answer.ok) throw new Error(`the worklist answers ${answer.status}`);
        show((await answer.json()).studies);
      } while (again);
    } catch (error) {
      none.hidden = false;
      text(none, `The worklist cannot be read: ${/** @type {Error} */ (error).message}`);
    } finally {
      busy = false;
    }
  };

  /** @param {Study[]} studies */
  const show = (studies) => {
    none.hidden = studies.length > 0;
    text(none, "No study has come yet.");
    const wanted = new Set(studies.map((each) => each.study));
    for (const [id, { row }] of rows) {
      if (wanted.has(id)) continue;
      forget(row);
      rows.delete(id);
    }
    studies.forEach((study, place) => {
      const said = JSON.stringify(study);
      const known = rows.get(study.study);
      const row = known?.said === said ? known.row : build(study, api);
      if (known && known.row !== row) forget(known.row);
      rows.set(study.study, { row, said });
      if (list.children[place] !== row) list.insertBefore(row, list.children[place] ?? null);
    });
  };

  const unsubscribe = api.subscribe(TOPIC, look);
  const ticking = setInterval(() => {
    if (list.isConnected) return void look();
    unsubscribe();
    clearInterval(ticking);
  }, LOOK_EVERY_MS);
  await look();
}

/** @param {Study} study @param {Api} api */
function build(study, api) {
  const row = make("li", { class: "study", "data-triage": String(study.triage), "data-study": study.study, "data-status": study.status });
  const found = study.status === "FINDING";
  const word = found ? study.message : WORDS[study.status];
  const address = `${ADDRESS}/${study.study}`;
  const known = [study.reference, study.modality, typeof study.probability === "number" ? `probability of a finding ${percent(study.probability)}` : "", study.status === "WAITING" ? "" : TRIAGE[study.triage]];
  const facts = make("p", { class: "study-facts" }, known.filter(Boolean).join(" · "));
  const told = make("div", {}, make("p", { class: "study-word" }, word), ...(found || study.status === "WAITING" ? [] : [make("p", {}, study.message)]), facts);
  const model = make("p", { class: "study-model" });
  if (study.model) model.append(`${study.model} ${study.version}, ${study.digest.slice(0, 12)}. `);
  if (study.status !== "WAITING") model.append(make("a", { href: `${address}/page.html`, target: "_blank", rel: "noopener" }, "Report"));
  row.append(picture(study, address, api), told, model);
  return row;
}

/** A picture that turns into its map and back. @param {Study} study @param {string} address @param {Api} api */
function picture(study, address, api) {
  const image = make("img", { alt: "" });
  const button = make("button", { class: "study-picture", type: "button", "aria-pressed": "false", "aria-label": `Picture of ${study.reference}; show what speaks for the finding` }, image);
  if (!study.pictured) {
    button.disabled = true;
    if (study.status !== "WAITING") button.replaceChildren("no picture");
    return button;
  }
  const put = async (/** @type {string} */ name) => {
    const answer = await api.fetch(`${address}/${name}`);
    if (!answer.ok) return false;
    URL.revokeObjectURL(image.src);
    image.src = URL.createObjectURL(await answer.blob());
    image.dataset.shows = name;
    return true;
  };
  const hasMap = study.status !== "REFUSED";
  button.disabled = !hasMap;
  button.addEventListener("click", async () => {
    const mapped = button.getAttribute("aria-pressed") !== "true";
    if (await put(mapped ? "map.jpg" : "picture.jpg")) button.setAttribute("aria-pressed", String(mapped));
  });
  void put("picture.jpg");
  return button;
}

/** @param {HTMLElement} row */
function forget(row) {
  for (const image of row.querySelectorAll("img")) URL.revokeObjectURL(image.src);
  row.remove();
}

/** @param {number} share */
function percent(share) {
  return `${Math.round(share * 100)} %`;
}
