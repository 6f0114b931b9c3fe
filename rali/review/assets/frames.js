// One photo enlarged, or the frames of a burst side by side; at 100 % all of them show the same place, in step.
const LEAST_PANE = 340;
const MOST_PANES = 4;
const LARGEST_CROP = 2400; // as the server allows
const MARGIN = 1.5; // more than is in sight, so that a short way needs no new picture
const STILL_MS = 110;

const clamp = (value, low, high) => Math.max(low, Math.min(value, high));

class Pane {
  constructor(photos, at, isNarrow) {
    Object.assign(this, { photos, at, isNarrow });
    this.element = document.createElement("figure");
    this.element.setAttribute("role", "group");
    this.element.tabIndex = -1;
    this.view = document.createElement("div");
    this.view.className = "view";
    this.image = document.createElement("img");
    this.image.alt = "";
    this.image.draggable = false;
    this.view.append(this.image);
    this.trouble = document.createElement("p");
    this.trouble.className = "trouble";
    this.view.append(this.trouble);
    this.caption = document.createElement("figcaption");
    this.element.append(this.view, this.caption);
    this.box = null;
    this.image.onerror = () => { this.trouble.textContent = "no picture"; };
    this.image.onload = () => { this.trouble.textContent = ""; };
    this.paint();
  }

  paint() {
    const { photos, at } = this;
    const name = document.createElement("bdi");
    name.textContent = photos.name[at];
    const facts = document.createElement("span");
    facts.className = "quiet";
    facts.textContent = [
      photos.scoreText(at), `pct ${Math.round(photos.percentile[at])}`,
      photos.starText(at), this.isNarrow ? photos.taken[at].slice(11) : photos.taken[at], // a burst is of one day
    ].filter(Boolean).join(" · ");
    const mark = document.createElement("span");
    mark.className = "mark";
    mark.textContent = photos.mark[at] ?? "";
    this.caption.replaceChildren(name, " ", facts, " ", mark);
    this.element.dataset.mark = photos.mark[at] ?? "";
    this.element.setAttribute("aria-label", photos.label(at));
  }

  fit() {
    clearTimeout(this.wait);
    this.box = null;
    this.image.className = "fitted";
    this.image.removeAttribute("style");
    this.image.src = `/preview/${this.photos.id[this.at]}`;
  }

  // Show the place at shares (x, y) of the photo in the middle, one of its pixels on one of the screen's.
  full(x, y, now) {
    const dots = window.devicePixelRatio || 1;
    const [width, height] = [this.photos.width[this.at], this.photos.height[this.at]];
    const [across, down] = [this.view.clientWidth * dots, this.view.clientHeight * dots];
    const middle = (share, size, seen) => (size > seen ? clamp(share * size, seen / 2, size - seen / 2) : size / 2);
    const [cx, cy] = [middle(x, width, across), middle(y, height, down)];
    const place = (box) => {
      this.image.className = "cropped";
      this.image.style.width = `${box.w / dots}px`;
      this.image.style.height = `${box.h / dots}px`;
      this.image.style.transform = `translate(${(across / 2 - (cx - box.x)) / dots}px, ${(down / 2 - (cy - box.y)) / dots}px)`;
    };
    if (this.box) place(this.box);
    const covers = (from, size, whole, centre, seen) => from <= Math.max(0, centre - seen / 2) + 1 && from + size >= Math.min(whole, centre + seen / 2) - 1;
    if (this.box && covers(this.box.x, this.box.w, width, cx, across) && covers(this.box.y, this.box.h, height, cy, down)) return;
    const side = (centre, size, seen) => {
      const length = Math.min(size, LARGEST_CROP, Math.ceil(seen * MARGIN));
      return [clamp(Math.round(centre - length / 2), 0, size - length), length];
    };
    const [[bx, bw], [by, bh]] = [side(cx, width, across), side(cy, height, down)];
    clearTimeout(this.wait);
    this.wait = setTimeout(() => {
      const box = { x: bx, y: by, w: bw, h: bh };
      const next = new Image();
      this.coming = next;
      next.onload = () => {
        if (this.coming !== next) return;
        this.box = box;
        this.image.src = next.src;
        this.redo?.();
      };
      next.onerror = () => { this.trouble.textContent = "no picture"; };
      next.src = `/crop/${this.photos.id[this.at]}?x=${bx}&y=${by}&w=${bw}&h=${bh}`;
    }, now ? 0 : STILL_MS);
  }

  end() {
    clearTimeout(this.wait);
    this.coming = null;
    this.image.removeAttribute("src");
  }
}

export class Frames extends EventTarget {
  constructor(dialog, photos) {
    super();
    Object.assign(this, { dialog, photos, list: [], active: 0, panes: [], isFull: false, x: 0.5, y: 0.5, side: false });
    this.part = (name) => document.getElementById(name);
    this.part("frames-zoom").addEventListener("click", () => this.toggle());
    this.part("frames-close").addEventListener("click", () => dialog.close());
    dialog.addEventListener("close", () => {
      for (const pane of this.panes) pane.end();
      this.panes = [];
      this.part("panes").replaceChildren();
      this.dispatchEvent(new Event("closed"));
    });
    dialog.addEventListener("keydown", (event) => this.onKey(event));
    this.part("panes").addEventListener("pointerdown", (event) => this.onDrag(event));
    photos.addEventListener("some", () => { for (const pane of this.panes) pane.paint(); });
    window.addEventListener("resize", () => { if (dialog.open) this.show(); });
  }

  get isOpen() { return this.dialog.open; }
  get current() { return this.list[this.active]; }

  // Enlarge the photo at `active` of a list of places; side by side with its neighbours, or alone.
  open(list, active, { side, title }) {
    Object.assign(this, { list, active, side, isFull: false, x: 0.5, y: 0.5 });
    this.part("frames-title").textContent = title;
    this.part("frames-status").textContent = "";
    if (!this.dialog.open) this.dialog.showModal();
    this.show();
    this.focus();
  }

  focus() { this.panes.find((pane) => pane.at === this.current).element.focus(); }

  toggle() {
    this.isFull = !this.isFull;
    this.show();
  }

  show() {
    const most = this.side ? clamp(Math.floor(this.dialog.clientWidth / LEAST_PANE), 1, MOST_PANES) : 1;
    const start = Math.floor(this.active / most) * most;
    const places = this.list.slice(start, start + most);
    const hadFocus = this.part("panes").contains(document.activeElement);
    if (places.join() !== this.panes.map((pane) => pane.at).join()) {
      for (const pane of this.panes) pane.end();
      this.panes = places.map((at) => new Pane(this.photos, at, this.side));
      this.part("panes").replaceChildren(...this.panes.map((pane) => pane.element));
      for (const pane of this.panes) pane.redo = () => this.isFull && pane.full(this.x, this.y, false);
    }
    for (const pane of this.panes) {
      pane.element.setAttribute("aria-current", pane.at === this.current);
      pane.element.tabIndex = pane.at === this.current ? 0 : -1;
      if (this.isFull) pane.full(this.x, this.y, true);
      else if (pane.image.className !== "fitted") pane.fit();
    }
    this.part("frames-zoom").setAttribute("aria-pressed", this.isFull);
    this.part("frames-hint").textContent =
      `${this.active + 1} of ${this.list.length}. ` +
      (this.isFull ? "Drag, or Shift with arrows, moves; Z shows it whole" : "Arrows go on; Z shows every pixel");
    if (hadFocus) this.focus(); // which reads it aloud
  }

  go(way) {
    this.active = clamp(this.active + way, 0, this.list.length - 1);
    this.part("frames-status").textContent = "";
    this.show();
  }

  pan(x, y) {
    this.x = clamp(this.x + x, 0, 1);
    this.y = clamp(this.y + y, 0, 1);
    for (const pane of this.panes) pane.full(this.x, this.y, false);
  }

  onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const ways = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const way = ways[event.key];
    if (way && event.shiftKey) {
      if (this.isFull) this.pan(way[0] * 0.04, way[1] * 0.04);
    } else if (way) this.go(way[0] || way[1]);
    else if (event.key === "z" || event.key === "Z") this.toggle();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  onDrag(event) {
    const pane = this.panes.find((each) => each.element.contains(event.target));
    if (!pane) return;
    this.active = this.list.indexOf(pane.at);
    this.show();
    if (!this.isFull || event.button !== 0) return;
    const dots = window.devicePixelRatio || 1;
    let [fromX, fromY] = [event.clientX, event.clientY];
    const size = [this.photos.width[pane.at] || 1, this.photos.height[pane.at] || 1];
    const move = (now) => {
      this.pan(((fromX - now.clientX) * dots) / size[0], ((fromY - now.clientY) * dots) / size[1]);
      [fromX, fromY] = [now.clientX, now.clientY];
    };
    const end = () => {
      window.removeEventListener("pointermove", move);
      window.removeEventListener("pointerup", end);
    };
    window.addEventListener("pointermove", move);
    window.addEventListener("pointerup", end);
    event.preventDefault();
  }
}
