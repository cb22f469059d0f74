// Builds elements. Everything shown comes from files, models or people: it is only ever set as text.

const SVG = "http://www.w3.org/2000/svg";

export const $ = (id) => document.getElementById(id);

/** An element with properties, data attributes, listeners (`onclick`) and children; strings become text. */
export function el(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "class") node.className = value;
    else if (name === "data") Object.assign(node.dataset, value);
    else if (name in node && name !== "list") node[name] = value;
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

/** An SVG element with attributes. */
export function svg(tag, attributes = {}, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

/** One of the page's icons. */
export const icon = (name) => svg("svg", { class: "icon", "aria-hidden": "true" }, svg("use", { href: `#i-${name}` }));

const whole = new Intl.NumberFormat();
/** 12345 as people write it. */
export const number = (value) => whole.format(value);

/** 0..1 as per cent; the last step to 100 % is not rounded up. */
export const percent = (value) => `${value >= 1 ? 100 : Math.min(99, Math.round(value * 100))} %`;

/** A count with its noun. */
export const count = (value, one, many) => `${number(value)} ${value === 1 ? one : many}`;

/** The path of a file:// URI for people; a URI whose escapes are not UTF-8 stays as it is. */
export function pathOf(uri) {
  const path = uri.startsWith("file://") ? uri.slice("file://".length) : uri;
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}

/** The last part of a path. */
export function nameOf(uri) {
  const path = pathOf(uri);
  return path.slice(path.lastIndexOf("/") + 1) || path;
}

export const KINDS = ["caption", "alt_text", "tag", "proposal", "object", "face", "emotion", "text"];
export const KIND_NAMES = {
  caption: ["Caption", "Captions"],
  alt_text: ["Alt text", "Alt texts"],
  tag: ["Tag", "Tags"],
  proposal: ["Proposed term", "Proposed terms"],
  object: ["Object", "Objects"],
  face: ["Face", "Faces"],
  emotion: ["Emotion", "Emotions"],
  text: ["Text", "Texts"],
};
