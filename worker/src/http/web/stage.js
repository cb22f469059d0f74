// The selected picture with the regions of its suggestions drawn over it.

import { api } from "./api.js";
import { $, el, nameOf, number, pathOf, percent, svg } from "./dom.js";

const SIDES = [800, 1600, 2400, 4096];

export class Stage {
  constructor({ onPick, onHover }) {
    this.root = $("canvas");
    this.onPick = onPick;
    this.onHover = onHover;
    this.image = el("img", { alt: "" });
    this.overlay = svg("svg", { class: "overlay", viewBox: "0 0 1 1", preserveAspectRatio: "none", "aria-hidden": "true" });
    this.labels = el("div", { class: "labels" });
    this.wrapper = el("div", { class: "picture" }, this.image, this.overlay, this.labels);
    this.message = el("p", { class: "empty" });
    this.root.append(this.wrapper, this.message);
    this.image.addEventListener("load", () => this.loaded());
    this.image.addEventListener("error", () => this.failed());
    for (const [name, hovered] of [["pointerover", true], ["pointerout", false]]) {
      this.overlay.addEventListener(name, (event) => {
        if (event.target.dataset.id) this.onHover(hovered ? event.target.dataset.id : null);
      });
    }
    this.overlay.addEventListener("click", (event) => event.target.dataset.id && this.onPick(event.target.dataset.id));
    new ResizeObserver(() => this.fit()).observe(this.root);
  }

  clear(message = "") {
    this.asset = null;
    this.image.removeAttribute("src");
    this.wrapper.hidden = true;
    this.message.hidden = false;
    this.message.textContent = message;
    $("asset-name").textContent = "";
    $("asset-facts").textContent = "";
    $("large").removeAttribute("href");
    $("similar").disabled = true;
  }

  show(asset) {
    this.asset = asset;
    this.size = asset.width && asset.height ? [asset.width, asset.height] : null;
    const uri = asset.uris[0] ?? "";
    $("asset-name").textContent = nameOf(uri);
    $("asset-name").title = asset.uris.map(pathOf).join("\n");
    $("asset-facts").textContent = facts(asset);
    $("asset-facts").title = asset.uris.map(pathOf).join("\n");
    $("large").href = api.pictureUrl(asset.asset_id, SIDES.at(-1));
    $("similar").disabled = false;
    this.image.alt = nameOf(uri);
    this.wrapper.hidden = false;
    this.wrapper.classList.add("loading");
    this.message.hidden = true;
    this.draw([], null);
    const needed = Math.max(this.root.clientWidth, this.root.clientHeight) * Math.min(2, devicePixelRatio);
    const side = SIDES.slice(0, 3).find((side) => side >= needed) ?? SIDES[2];
    this.image.src = api.pictureUrl(asset.asset_id, side);
    this.fit();
  }

  loaded() {
    this.wrapper.classList.remove("loading");
    this.size ??= [this.image.naturalWidth, this.image.naturalHeight];
    this.fit();
  }

  failed() {
    if (!this.asset || !this.image.hasAttribute("src")) return;
    this.wrapper.hidden = true;
    this.message.hidden = false;
    this.message.textContent = "The picture cannot be shown: its file is gone, has changed, or cannot be read.";
  }

  /** Sizes the picture to the room there is; small pictures are enlarged at most twice. */
  fit() {
    if (!this.size) return;
    const [width, height] = this.size;
    const style = getComputedStyle(this.root);
    const roomX = this.root.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
    const roomY = this.root.clientHeight - parseFloat(style.paddingTop) - parseFloat(style.paddingBottom);
    const scale = Math.min(roomX / width, roomY / height, 2);
    this.wrapper.style.width = `${Math.max(1, Math.floor(width * scale))}px`;
    this.wrapper.style.height = `${Math.max(1, Math.floor(height * scale))}px`;
  }

  /** Draws the regions of `suggestions`; those selected or hovered get a label. */
  draw(suggestions, selected, hovered = null) {
    const placed = suggestions.filter((suggestion) => suggestion.region);
    // The selected region last, so that it lies on top; large ones first, so that small ones can be picked.
    const area = ({ region }) => region.width * region.height;
    placed.sort((a, b) => (a.id === selected) - (b.id === selected) || area(b) - area(a));
    this.overlay.replaceChildren(
      ...placed.map(({ id, kind, status, region }) =>
        svg("rect", {
          ...region,
          class: `region ${kind} ${status}${id === selected ? " selected" : ""}${id === hovered ? " hovered" : ""}`,
          "data-id": id,
        }),
      ),
    );
    const labeled = placed.filter(({ id }) => id === selected || id === hovered);
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

function facts({ width, height, format, bytes, uris }) {
  const size = bytes >= 1e6 ? `${(bytes / 1e6).toFixed(1)} MB` : `${number(Math.max(1, Math.round(bytes / 1e3)))} kB`;
  const folder = pathOf(uris[0] ?? "").replace(/\/[^/]*$/, "");
  return [
    width && height ? `${number(width)} × ${number(height)}` : null,
    format?.toUpperCase(),
    size,
    uris.length > 1 ? `${uris.length} places` : null,
    folder,
  ]
    .filter(Boolean)
    .join(" · ");
}
