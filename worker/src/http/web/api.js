// Talks to the API. A failure is always an ApiFailure with a sentence for people.

const base = new URL("api/v1/", document.baseURI);
const REVIEWER_KEY = "docent.reviewer";

export class ApiFailure extends Error {
  constructor(status, code, message, actual) {
    super(message);
    this.status = status;
    this.code = code;
    /** With a conflict: the status the suggestion has. */
    this.actual = actual;
  }
}

/** Called when the server asks for its token. */
export const signIn = { needed: () => {} };

export const reviewer = {
  get: () => localStorage.getItem(REVIEWER_KEY) ?? "",
  set: (name) => (name ? localStorage.setItem(REVIEWER_KEY, name) : localStorage.removeItem(REVIEWER_KEY)),
};

/** Header values are bytes: a name goes as its UTF-8. */
const asBytes = (text) => Array.from(new TextEncoder().encode(text), (byte) => String.fromCharCode(byte)).join("");

function address(path, query) {
  const url = new URL(path, base);
  for (const [name, value] of Object.entries(query ?? {})) {
    if (value !== "" && value !== null && value !== undefined) url.searchParams.set(name, value);
  }
  return url;
}

async function call(method, path, { query, body, file, signal } = {}) {
  const headers = { "X-Docent-Client": "web" };
  if (reviewer.get()) headers["X-Docent-Reviewer"] = asBytes(reviewer.get());
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (file) headers["Content-Type"] = "application/octet-stream";
  let response;
  try {
    response = await fetch(address(path, query), { method, headers, signal, body: file ?? (body && JSON.stringify(body)) });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiFailure(0, "unreachable", "docent does not answer. Is it still running?");
  }
  if (response.status === 204) return null;
  const answer = await response.json().catch(() => null);
  if (response.ok && answer !== null) return answer;
  const { code = "unknown", message = `docent answered with ${response.status}`, status } = answer?.error ?? {};
  if (response.status === 401 && path !== "session") signIn.needed();
  throw new ApiFailure(response.status, code, message, status);
}

const get = (path, query, signal) => call("GET", path, { query, signal });

export const api = {
  assets: (query, signal) => get("assets", query, signal),
  asset: (id, signal) => get(`assets/${id}`, {}, signal),
  search: (query, signal) => get("search", query, signal),
  similar: (id, query, signal) => get(`assets/${id}/similar`, query, signal),
  suggestion: (id) => get(`suggestions/${id}`),
  reviews: (id) => get(`suggestions/${id}/reviews`).then((log) => log.reviews),
  status: () => get("status"),
  failures: (query) => get("failures", query),
  decide: (id, action) => call("POST", `suggestions/${id}/${action}`),
  decideAll: (body) => call("POST", "suggestions/accept-all", { body }),
  preview: (body) => call("POST", "suggestions/accept-all/preview", { body }),
  lastStep: () => get("reviews/last"),
  job: (id) => get(`jobs/${id}`),
  revertJob: (id) => call("POST", `jobs/${id}/revert`),
  vocabulary: () => get("vocabulary"),
  terms: (query, signal) => get("vocabulary/terms", query, signal),
  term: (id) => get(`vocabulary/terms/${id}`),
  termLog: (query) => get("vocabulary/log", query),
  addTerm: (body) => call("POST", "vocabulary/terms", { body }),
  putTerm: (id, body) => call("PUT", `vocabulary/terms/${id}`, { body }),
  mergeTerm: (id, body) => call("POST", `vocabulary/terms/${id}/merge`, { body }),
  removeTerm: (id, revision) => call("DELETE", `vocabulary/terms/${id}`, { query: { revision } }),
  importTerms: (file, query) => call("POST", "vocabulary/import", { query, file }),
  exportUrl: (format) => address("vocabulary/export", { format }).href,
  signIn: (token) => call("POST", "session", { body: { token } }),

  /** Everything said about an asset. */
  async suggestions(id, signal) {
    const all = [];
    let after;
    do {
      const part = await get(`assets/${id}/suggestions`, { limit: 1000, after }, signal);
      all.push(...part.suggestions);
      after = part.next;
    } while (after);
    return all;
  },

  thumbnailUrl: (id) => address(`assets/${id}/thumbnail`).href,
  pictureUrl: (id, side) => address(`assets/${id}/picture`, { side }).href,
};
