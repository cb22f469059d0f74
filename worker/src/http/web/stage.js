// The selected picture, with the regions of its suggestions drawn over it.

import { api } from "./api.js";
import { $, el, nameOf, number, pathOf, percent, svg } from "./dom.js";
import { Zoom } from "./zoom.js";

const SIDES = [800, 1600, 2400, 4096];

export class Stage {
  constructor({ onPick, onHover }) {
    this.root = $("canvas");
    this.onPick = onPick;
    this.onHover = onHover;
    this.image = el("img", { alt: "", draggable: false });
    this.overlay = svg("svg", { class: "overlay", viewBox: "0 0 1 1", preserveAspectRatio: "none", "aria-hidden": "true" });
    this.labels = el("div", { class: "labels" });
    this.wrapper = el("div", { class: "picture" }, this.image, this.overlay, this.labels);
    this.message = el("p", { class: "empty" });
    this.root.prepend(this.wrapper, this.message);
    this.image.addEventListener("load", () => this.loaded());
    this.image.addEventListener("error", () => this.failed());
    for (const [name, hovered] of [["pointerover", true], ["pointerout", false]]) {
      this.overlay.addEventListener(name, (event) => {
        if (event.target.dataset.id) this.onHover(hovered ? event.target.dataset.id : null);
      });
    }
    this.overlay.addEventListener("click", (event) => event.target.dataset.id && this.onPick(event.target.dataset.id));
    this.zoom = new Zoom(this.root, this.wrapper, (scale, times) => this.zoomed(scale, times));
    $("zoom-in").onclick = () => this.zoom.in();
    $("zoom-out").onclick = () => this.zoom.out();
    $("zoom-fit").onclick = () => this.zoom.fit();
  }

  clear(message = "") {
    this.asset = null;
    this.image.removeAttribute("src");
    this.wrapper.hidden = true;
    this.message.hidden = !message;
    this.message.textContent = message;
    $("zoom").hidden = true;
    $("asset-name").textContent = "";
    $("asset-facts").textContent = "";
    $("large").removeAttribute("href");
    $("similar").disabled = true;
  }

  show(asset) {
    this.asset = asset;
    const uri = asset.uris[0] ?? "";
    $("asset-name").textContent = nameOf(uri);
    $("asset-name").title = asset.uris.map(pathOf).join("\n");
    $("asset-facts").textContent = facts(asset);
    $("asset-facts").title = asset.uris.map(pathOf).join("\n");
    $("large").href = api.pictureUrl(asset.asset_id, SIDES.at(-1));
    $("similar").disabled = false;
    $("zoom").hidden = false;
    this.image.alt = nameOf(uri);
    this.wrapper.hidden = false;
    this.wrapper.classList.add("loading");
    this.message.hidden = true;
    this.draw([], new Set());
    this.side = 0;
    this.sharper = null;
    this.zoom.show(asset.width && asset.height ? [asset.width, asset.height] : null);
    if (!this.zoom.size) this.load(this.fittingSide());
  }

  /** The address of a picture as it is shown first. */
  address(asset) {
    return api.pictureUrl(asset, this.fittingSide());
  }

  /** The side that fills the room there is. */
  fittingSide() {
    const needed = Math.max(this.root.clientWidth, this.root.clientHeight) * Math.min(2, devicePixelRatio);
    return SIDES.slice(0, 3).find((side) => side >= needed) ?? SIDES[2];
  }

  load(side) {
    this.side = side;
    this.image.src = api.pictureUrl(this.asset.asset_id, side);
  }

  loaded() {
    this.wrapper.classList.remove("loading");
    if (!this.zoom.size) this.zoom.show([this.image.naturalWidth, this.image.naturalHeight]);
  }

  failed() {
    if (!this.asset || !this.image.hasAttribute("src")) return;
    this.wrapper.hidden = true;
    $("zoom").hidden = true;
    this.message.hidden = false;
    this.message.textContent = "The picture cannot be shown: its file is gone, has changed, or cannot be read.";
  }

  /** Gets a larger rendering where the one there is would be blurred, and shows it once it is there. */
  zoomed(scale, times) {
    $("zoom-fit").textContent = `${Math.round(scale * 100)} %`;
    $("zoom-out").disabled = times === 1;
    $("zoom-in").disabled = times >= this.zoom.most();
    if (!this.asset) return;
    if (!this.side) return this.load(this.fittingSide());
    const shown = Math.max(...this.zoom.size) * scale * Math.min(2, devicePixelRatio);
    const side = SIDES.find((side) => side >= Math.min(shown, Math.max(...this.zoom.size))) ?? SIDES.at(-1);
    if (times === 1 || side <= this.side || this.sharper?.side === side) return undefined;
    const { asset } = this;
    const sharper = new Image();
    this.sharper = { side, sharper };
    sharper.onload = () => this.asset === asset && this.sharper?.side === side && this.load(side);
    sharper.src = api.pictureUrl(asset.asset_id, side);
    return undefined;
  }

  /** Draws the regions of `suggestions`; those selected or hovered stand out, and one of these gets a label. */
  draw(suggestions, selected, hovered = null) {
    const placed = suggestions.filter((suggestion) => suggestion.region);
    // The selected regions last, so that they lie on top; large ones first, so that small ones can be picked.
    const area = ({ region }) => region.width * region.height;
    placed.sort((a, b) => selected.has(a.id) - selected.has(b.id) || area(b) - area(a));
    this.overlay.replaceChildren(
      ...placed.map(({ id, kind, status, region }) =>
        svg("rect", {
          ...region,
          class: `region ${kind} ${status}${selected.has(id) ? " selected" : ""}${id === hovered ? " hovered" : ""}`,
          "data-id": id,
        }),
      ),
    );
    const labeled = placed.filter(({ id }) => id === hovered || (selected.has(id) && selected.size === 1));
    this.labels.replaceChildren(...labeled.map(label));
  }
}

function label({ kind, value, confidence, region }) {
  const node = el("span", { class: `label ${kind}` }, el("b", {}, shorten(value)), ` ${percent(confidence)}`);
  // Above the region where there is room, else inside it.
  node.classList.toggle("inside", region.y < 0.06);
  node.classList.toggle("flipped", region.x > 0.6);
  if (region.x > 0.6) node.style.right = `${(1 - region.x - region.width) * 100}%`;
  else node.style.left = `${region.x * 100}%`;
  node.style.top = `${region.y * 100}%`;
  return node;
}

const shorten = (text) => (text.length > 48 ? `${text.slice(0, 47)}…` : text);

function facts({ width, height, format, tolerated, bytes, uris }) {
  const size = bytes >= 1e6 ? `${(bytes / 1e6).toFixed(1)} MB` : `${number(Math.max(1, Math.round(bytes / 1e3)))} kB`;
  const folder = pathOf(uris[0] ?? "").replace(/\/[^/]*$/, "");
  return [
    width && height ? `${number(width)} × ${number(height)}` : null,
    format?.toUpperCase(),
    tolerated.length > 0 ? `with ${tolerated.join(", ")}` : null,
    size,
    uris.length > 1 ? `${uris.length} places` : null,
    folder,
  ]
    .filter(Boolean)
    .join(" · ");
}
