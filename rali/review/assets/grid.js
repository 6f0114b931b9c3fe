// A grid of any number of photos of which only the rows in sight exist.
const CELL_WIDTH = 184;
const CELL_HEIGHT = 214;
const MORE_ROWS = 2; // above and below what is in sight
const STILL_MS = 70; // while it scrolls fast, no picture is asked for

const make = (tag, className, ...children) => {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children);
  return element;
};

export class Grid extends EventTarget {
  constructor(scroller, element, photos) {
    super();
    Object.assign(this, { scroller, element, photos, view: [], rows: new Map(), cells: new Map() });
    this.focused = 0; // a position in the view
    this.columns = 1;
    this.threshold = null;
    scroller.addEventListener("scroll", () => this.later(), { passive: true });
    new ResizeObserver(() => this.layOut()).observe(scroller);
    element.addEventListener("keydown", (event) => this.onKey(event));
    element.addEventListener("click", (event) => this.onPointer(event, false));
    element.addEventListener("dblclick", (event) => this.onPointer(event, true));
    photos.addEventListener("all", () => this.repaint());
    photos.addEventListener("some", (event) => { for (const at of event.detail) this.paint(at); });
  }

  // The photo that has the focus, by its place; undefined if there is none.
  get current() { return this.view[this.focused]; }

  // Show other photos; the focus goes to the photo at the place `before`, if it is among them.
  show(view, before = this.current) {
    this.view = view;
    const again = before === undefined ? -1 : view.indexOf(before);
    this.focused = again >= 0 ? again : Math.max(0, Math.min(this.focused, view.length - 1));
    this.layOut();
    if (view.length) this.reveal();
  }

  layOut() {
    const width = this.scroller.clientWidth;
    this.columns = Math.max(1, Math.floor(width / CELL_WIDTH));
    this.element.style.height = `${Math.ceil(this.view.length / this.columns) * CELL_HEIGHT}px`;
    this.element.style.setProperty("--columns", this.columns);
    this.element.setAttribute("aria-rowcount", Math.ceil(this.view.length / this.columns));
    this.element.setAttribute("aria-colcount", this.columns);
    const hadFocus = this.element.contains(document.activeElement);
    for (const row of this.rows.values()) this.drop(row);
    this.rows.clear();
    this.update();
    if (hadFocus) this.focus();
  }

  later() {
    if (!this.waiting) this.waiting = requestAnimationFrame(() => { this.waiting = 0; this.update(); });
  }

  update() {
    const last = Math.ceil(this.view.length / this.columns) - 1;
    const first = Math.max(0, Math.floor(this.scroller.scrollTop / CELL_HEIGHT) - MORE_ROWS);
    const end = Math.min(last, Math.ceil((this.scroller.scrollTop + this.scroller.clientHeight) / CELL_HEIGHT) + MORE_ROWS);
    const own = Math.floor(this.focused / this.columns); // the row with the focus stays, or the focus would be lost
    for (const [number, row] of this.rows) {
      if ((number < first || number > end) && number !== own) {
        this.drop(row);
        this.rows.delete(number);
      }
    }
    for (let number = first; number <= end; number++) this.row(number);
    if (own <= last) this.row(own);
    clearTimeout(this.still);
    this.still = setTimeout(() => this.loadPictures(), STILL_MS);
  }

  row(number) {
    if (number < 0 || this.rows.has(number)) return;
    const row = make("div", "row");
    row.setAttribute("role", "row");
    row.setAttribute("aria-rowindex", number + 1);
    row.style.transform = `translateY(${number * CELL_HEIGHT}px)`;
    const start = number * this.columns;
    for (let position = start; position < Math.min(start + this.columns, this.view.length); position++) {
      row.append(this.cell(position, position - start));
    }
    this.rows.set(number, row);
    // In the order of rows, which is the order in which they are read aloud.
    const after = [...this.rows.keys()].filter((other) => other > number);
    this.element.insertBefore(row, after.length ? this.rows.get(Math.min(...after)) : null);
  }

  cell(position, column) {
    const at = this.view[position];
    const image = make("img");
    image.alt = "";
    image.decoding = "async";
    image.draggable = false;
    const cell = make("div", "cell",
      make("div", "picture", image),
      make("span", "mark"),
      make("p", "facts", make("span", "score"), make("span", "given")),
      make("p", "name", make("bdi", "", this.photos.name[at]), make("span", "quiet", this.photos.also[at] ? ` +${this.photos.also[at]}` : "")));
    cell.setAttribute("role", "gridcell");
    cell.setAttribute("aria-colindex", column + 1);
    cell.tabIndex = position === this.focused ? 0 : -1;
    cell.dataset.position = position;
    cell.dataset.at = at;
    this.cells.set(at, cell);
    this.paint(at);
    return cell;
  }

  drop(row) {
    for (const cell of row.children) {
      cell.querySelector("img").removeAttribute("src"); // it is not waited for any more
      this.cells.delete(Number(cell.dataset.at));
    }
    row.remove();
  }

  // Bring what a cell says up to date.
  paint(at) {
    const cell = this.cells.get(at);
    if (!cell) return;
    const photos = this.photos;
    const [score, given] = cell.querySelector(".facts").children;
    const mark = cell.querySelector(".mark");
    score.textContent = photos.scoreText(at);
    score.className = `score level${photos.level(at)}`;
    mark.textContent = photos.mark[at] ?? "";
    const group = photos.groupOf(at);
    const isBest = group !== null && !group.whole && group.photos[0] === photos.id[at];
    // What was decided comes before what can be cut off where it is narrow.
    given.textContent = [
      photos.starText(at),
      group ? `${isBest ? "best" : group.whole ? group.kind : "one"} of ${group.photos.length}` : "",
      `pct ${Math.round(photos.percentile[at])}`,
    ].filter(Boolean).join(" · ");
    given.classList.toggle("best", isBest);
    cell.dataset.mark = photos.mark[at] ?? "";
    cell.classList.toggle("below", this.threshold !== null && photos.score[at] < this.threshold);
    cell.setAttribute("aria-label", photos.label(at));
  }

  repaint() { for (const at of this.cells.keys()) this.paint(at); }

  loadPictures() {
    for (const [at, cell] of this.cells) {
      const image = cell.querySelector("img");
      if (image.hasAttribute("src")) continue;
      image.onerror = () => cell.classList.add("none");
      image.src = `/thumbnail/${this.photos.id[at]}`;
    }
  }

  // --- focus ---------------------------------------------------------------------------------------------------------

  focus() { this.rows.get(Math.floor(this.focused / this.columns))?.querySelector("[tabindex='0']")?.focus({ preventScroll: true }); }

  moveTo(position) {
    if (!this.view.length) return;
    this.cells.get(this.current)?.setAttribute("tabindex", "-1");
    this.focused = Math.max(0, Math.min(position, this.view.length - 1));
    this.reveal();
    this.row(Math.floor(this.focused / this.columns));
    this.cells.get(this.current)?.setAttribute("tabindex", "0");
    this.focus();
    this.later();
  }

  moveToPhoto(at) {
    const position = this.view.indexOf(at);
    this.moveTo(position >= 0 ? position : this.focused);
  }

  reveal() {
    const top = Math.floor(this.focused / this.columns) * CELL_HEIGHT;
    const { scrollTop, clientHeight } = this.scroller;
    if (top < scrollTop) this.scroller.scrollTop = top;
    else if (top + CELL_HEIGHT > scrollTop + clientHeight) this.scroller.scrollTop = top + CELL_HEIGHT - clientHeight;
  }

  onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const page = Math.max(1, Math.floor(this.scroller.clientHeight / CELL_HEIGHT)) * this.columns;
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -this.columns, ArrowDown: this.columns, PageUp: -page, PageDown: page };
    if (event.key === "Home") this.moveTo(0);
    else if (event.key === "End") this.moveTo(this.view.length - 1);
    else if (steps[event.key]) {
      const target = this.focused + steps[event.key];
      if (Math.abs(steps[event.key]) === 1 || (target >= 0 && target < this.view.length)) this.moveTo(target);
      else if (event.key.startsWith("Page")) this.moveTo(target);
      else if (target > 0 && Math.floor(this.focused / this.columns) < Math.floor((this.view.length - 1) / this.columns)) this.moveTo(target);
    } else return;
    event.preventDefault();
  }

  onPointer(event, twice) {
    const cell = event.target.closest(".cell");
    if (!cell) return;
    this.moveTo(Number(cell.dataset.position));
    if (twice) this.dispatchEvent(new Event("enlarge"));
  }
}
