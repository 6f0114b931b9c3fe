// The threshold with its histogram and counts, and the filters.
const BARS = 50;
const SVG = "http://www.w3.org/2000/svg";
const part = (id) => document.getElementById(id);
const many = (count, noun) => `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;

export class Controls extends EventTarget {
  constructor(photos) {
    super();
    this.photos = photos;
    part("below").addEventListener("input", () => {
      this.update();
      this.dispatchEvent(new Event("threshold"));
    });
    part("way").addEventListener("change", () => this.update());
    for (const id of ["show", "stars", "order"]) {
      part(id).addEventListener("change", () => this.dispatchEvent(new Event("filter")));
    }
    part("below").addEventListener("change", () => {
      if (part("show").value === "going") this.dispatchEvent(new Event("filter"));
    });
    photos.addEventListener("all", () => this.update());
    photos.addEventListener("some", () => this.update());
  }

  start() {
    const { low, high } = this.photos;
    const slider = part("below");
    slider.min = low;
    slider.max = high;
    slider.step = (high - low) / 200;
    slider.value = low;
    this.draw();
    this.update();
  }

  // A score, or null at the lower end: then only what is marked reject would go.
  get below() {
    const value = Number(part("below").value);
    return value > this.photos.low ? value : null;
  }

  get filters() {
    return { show: part("show").value, stars: part("stars").value, order: part("order").value, below: this.below };
  }

  // What to plan, as the server takes it.
  get choice() { return part("way").value === "per-burst" ? { per_burst: 1 } : { below: this.below }; }

  draw() {
    const { low, high, score } = this.photos;
    const counts = new Array(BARS).fill(0);
    for (const value of score) counts[Math.max(0, Math.min(BARS - 1, Math.floor(((value - low) / (high - low || 1)) * BARS)))]++;
    const most = Math.max(1, ...counts);
    this.bars = counts.map((count, number) => {
      const bar = document.createElementNS(SVG, "rect");
      const height = count ? Math.max(1, (count / most) * 46) : 0;
      const place = { x: number * 8 + 0.5, y: 48 - height, width: 7, height };
      for (const [name, value] of Object.entries(place)) bar.setAttribute(name, value);
      return bar;
    });
    part("histogram").replaceChildren(...this.bars);
  }

  update() {
    if (!this.bars) return;
    const { photos, below } = this;
    const { low, high } = photos;
    const shown = below === null ? "none" : below.toFixed(photos.digits());
    part("below-shown").textContent = shown;
    part("below").setAttribute("aria-valuetext", below === null ? "none: only what is marked reject" : shown);
    const perBurst = part("way").value === "per-burst";
    this.bars.forEach((bar, number) => bar.classList.toggle("going", !perBurst && below !== null && low + ((number + 0.5) * (high - low)) / BARS < below));
    let [keep, reject, keptBelow, rejectedBelow] = [0, 0, 0, 0];
    photos.mark.forEach((mark, at) => {
      const isBelow = below !== null && photos.score[at] < below;
      if (mark === "keep") { keep++; if (isBelow) keptBelow++; }
      if (mark === "reject") { reject++; if (isBelow) rejectedBelow++; }
    });
    const count = below === null ? 0 : photos.countBelow(below);
    const going = count - keptBelow + reject - rejectedBelow;
    const bursts = many(photos.groups.filter((group) => !group.whole).length, "burst");
    part("going").textContent = perBurst
      ? `${bursts}: the plan tells what would go`
      : below === null
        ? `Nothing goes but what is marked reject (${reject.toLocaleString("en")})`
        : `${many(going, "photo")} of ${photos.size.toLocaleString("en")} would go, if nothing else protects them`;
    const also = [`${many(photos.size, "scored photo")}`, `${keep} marked keep`, `${reject} marked reject`];
    if (photos.about.failed) also.push(`${photos.about.failed} not scored`);
    part("counts").textContent = also.join(" · ");
    part("undo").disabled = photos.done.length === 0;
  }
}
