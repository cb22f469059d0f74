// What is shown is in the address behind #, so that it can be linked, reloaded and gone back to.

const ORDER_KEY = "docent.order";

/** What the address says. An address that says nothing at all is the start. */
export function place() {
  const params = new URLSearchParams(location.hash.slice(1));
  const of = (name, pattern) => {
    const value = params.get(name) ?? "";
    return pattern.test(value) ? value : "";
  };
  return {
    asset: of("asset", /^[0-9a-f]{32}$/),
    like: of("like", /^[0-9a-f]{32}$/),
    words: params.get("q") ?? "",
    kind: of("kind", /^(tag|proposal|caption|alt_text|object|face|emotion|text)$/),
    status: of("status", /^(pending|accepted|rejected|superseded)$/),
    min: Number(of("min", /^(0|1|0?\.\d+)$/) || 0),
    order: of("order", /^(place|date)$/),
    view: of("view", /^(failures|vocabulary)$/),
    term: of("term", /^[0-9a-f]{32}$/),
  };
}

export const isStart = () => location.hash.length < 2;

/** Where one starts: at what is to be reviewed, in the order that was chosen last. */
export const START = { asset: "", like: "", words: "", kind: "", status: "pending", min: 0, view: "", term: "" };
export const rememberedOrder = () => localStorage.getItem(ORDER_KEY) ?? "";

export function rememberOrder(order) {
  if (order) localStorage.setItem(ORDER_KEY, order);
  else localStorage.removeItem(ORDER_KEY);
}

/** Changes the address, for a step back or in place of this one. */
export function write(changes, replace) {
  const { words, status, ...rest } = { ...place(), ...changes };
  const params = new URLSearchParams();
  for (const [name, value] of Object.entries({ q: words, status: status || "any", ...rest })) if (value) params.set(name, value);
  const hash = `#${params}`;
  if (hash !== location.hash) history[replace ? "replaceState" : "pushState"](null, "", hash);
}
