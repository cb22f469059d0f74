// How large the picture is shown, and which part of it. The picture is laid out at its size, not scaled afterwards: lines and
// labels over it stay as sharp as they are.

/** One step of the keys and buttons. */
const STEP = 1.5;
/** A pixel of the picture is shown at most so large … */
const PIXEL = 8;
/** … and the picture at least so much larger than the room there is, however small it is. */
const LEAST = 4;
/** Browsers do not draw anything larger well. */
const LONGEST = 24000;
/** A pointer that moves so far drags; less is a click. */
const SLOP = 4;

export class Zoom {
  /** `target` lies in `room`; `onChange(scale)` hears of every change, with CSS pixels for each pixel of the picture. */
  constructor(room, target, onChange) {
    Object.assign(this, { room, target, onChange });
    this.size = null;
    this.dragged = false;
    this.reset();
    room.addEventListener("wheel", (event) => this.onWheel(event), { passive: false });
    room.addEventListener("dblclick", (event) => this.onDouble(event));
    room.addEventListener("pointerdown", (event) => this.onDown(event));
    // A drag that ends over a region is not a click on it.
    room.addEventListener("click", (event) => this.dragged && event.stopPropagation(), { capture: true });
    new ResizeObserver(() => this.layout()).observe(room);
  }

  /** The picture's own size; null if there is none. */
  show(size) {
    this.size = size;
    this.reset();
    this.layout();
  }

  reset() {
    /** How much larger than fitting, and which point of the picture, in fractions, is in the middle. */
    this.times = 1;
    this.center = [0.5, 0.5];
  }

  /** CSS pixels for each pixel of the picture when all of it is shown; small pictures are enlarged at most twice. */
  fitting() {
    const [width, height] = this.size;
    const [roomX, roomY] = this.inner();
    return Math.min(roomX / width, roomY / height, 2);
  }

  inner() {
    const style = getComputedStyle(this.room);
    const across = parseFloat(style.paddingLeft) + parseFloat(style.paddingRight);
    const down = parseFloat(style.paddingTop) + parseFloat(style.paddingBottom);
    return [Math.max(1, this.room.clientWidth - across), Math.max(1, this.room.clientHeight - down)];
  }

  most() {
    const fitting = this.fitting();
    return Math.max(1, Math.min(Math.max(PIXEL / fitting, LEAST), LONGEST / (Math.max(...this.size) * fitting)));
  }

  layout() {
    if (!this.size) return;
    const scale = this.fitting() * this.times;
    const room = [this.room.clientWidth, this.room.clientHeight];
    const sides = this.size.map((side) => Math.max(1, Math.floor(side * scale)));
    const corner = sides.map((side, axis) => {
      if (side <= room[axis]) {
        this.center[axis] = 0.5;
        return Math.round((room[axis] - side) / 2);
      }
      // No further than to the edges.
      const half = room[axis] / 2 / side;
      this.center[axis] = Math.min(1 - half, Math.max(half, this.center[axis]));
      return Math.round(room[axis] / 2 - this.center[axis] * side);
    });
    Object.assign(this.target.style, {
      width: `${sides[0]}px`,
      height: `${sides[1]}px`,
      left: `${corner[0]}px`,
      top: `${corner[1]}px`,
    });
    this.room.classList.toggle("zoomed", this.times > 1);
    this.onChange(scale, this.times);
  }

  /** Zooms so that what is at a point of the screen stays there; in the middle without one. */
  to(times, at = null) {
    if (!this.size) return;
    const next = Math.min(this.most(), Math.max(1, times));
    const box = this.room.getBoundingClientRect();
    const [x, y] = at ?? [box.x + box.width / 2, box.y + box.height / 2];
    const picture = this.target.getBoundingClientRect();
    const point = [(x - picture.x) / picture.width, (y - picture.y) / picture.height].map((part) => Math.min(1, Math.max(0, part)));
    const grown = next / this.times;
    const away = [x - box.x - box.width / 2, y - box.y - box.height / 2];
    this.center = [
      point[0] - away[0] / (picture.width * grown),
      point[1] - away[1] / (picture.height * grown),
    ];
    this.times = next;
    this.layout();
  }

  in() {
    this.to(this.times * STEP);
  }

  out() {
    this.to(this.times / STEP);
  }

  fit() {
    this.to(1);
  }

  onWheel(event) {
    if (!this.size) return;
    event.preventDefault();
    const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 16 : 1;
    this.to(this.times * Math.exp(-event.deltaY * lines * 0.0015), [event.clientX, event.clientY]);
  }

  /** To the picture's own pixels, and back. */
  onDouble(event) {
    if (!this.size || event.target.closest("button")) return;
    const own = Math.max(2, 1 / this.fitting());
    this.to(this.times > 1 ? 1 : own, [event.clientX, event.clientY]);
  }

  onDown(event) {
    this.dragged = false;
    if (!this.size || event.button !== 0 || this.times === 1) return;
    const from = [event.clientX, event.clientY];
    const center = [...this.center];
    const move = (moved) => {
      const by = [moved.clientX - from[0], moved.clientY - from[1]];
      if (!this.dragged && Math.hypot(...by) < SLOP) return;
      this.dragged = true;
      this.room.classList.add("dragging");
      this.center = [center[0] - by[0] / this.target.offsetWidth, center[1] - by[1] / this.target.offsetHeight];
      this.layout();
    };
    const end = () => {
      this.room.classList.remove("dragging");
      window.removeEventListener("pointermove", move);
      for (const name of ["pointerup", "pointercancel"]) window.removeEventListener(name, end);
    };
    window.addEventListener("pointermove", move);
    for (const name of ["pointerup", "pointercancel"]) window.addEventListener(name, end);
    event.preventDefault();
  }
}
