// All photos of the review, as columns; a photo is called by its place in them, which is its rank: worst first.
import { ask, tell } from "./api.js";

const collator = new Intl.Collator(undefined, { numeric: true, sensitivity: "base" });
export const starsText = (stars) => (stars < 0 ? "rejected by its rating" : `${stars || "no"} star${stars === 1 ? "" : "s"}`);

export class Photos extends EventTarget {
  constructor() {
    super();
    this.size = 0;
    this.done = []; // what can be undone, the last at the end
    this.turns = Promise.resolve();
  }

  async load() {
    const all = await ask("/api/photos"); // nothing below waits, so that nobody sees half of the old and half of the new
    Object.assign(this, all.photos, { low: all.low, high: all.high, folders: all.folders });
    this.about = { model: all.model, recipe: all.recipe, failed: all.failed, unscored: all.unscored };
    this.size = this.id.length;
    this.placeOf = new Map(this.id.map((id, at) => [id, at]));
    this.mark = new Array(this.size).fill(null);
    for (const [id, mark] of Object.entries(all.marks)) this.set("mark", Number(id), mark);
    this.star = new Array(this.size).fill(0);
    this.group = new Array(this.size).fill(-1);
    this.groups = [];
  }

  // Reading every sidecar and comparing every frame takes seconds for a large library; the page is there before.
  async loadMore() {
    for (const [id, stars] of Object.entries(await ask("/api/stars"))) this.set("star", Number(id), stars);
    this.tellAll();
    this.groups = await ask("/api/groups");
    this.groups.forEach((group, number) => { for (const id of group.photos) this.set("group", id, number); });
    this.tellAll();
  }

  set(column, id, value) {
    const at = this.placeOf.get(id);
    if (at !== undefined) this[column][at] = value;
  }

  tellAll() { this.dispatchEvent(new Event("all")); }
  tellOf(ids) {
    const detail = ids.map((id) => this.placeOf.get(id)).filter((at) => at !== undefined); // some have gone since
    this.dispatchEvent(new CustomEvent("some", { detail }));
  }

  // As Scoring.text and Scoring.level have it (rali/catalog/records.py).
  digits() { return this.high - this.low >= 50 ? 1 : 3; }
  scoreText(at) { return this.score[at] === null ? "–" : this.score[at].toFixed(this.digits()); }
  level(at) {
    const share = (this.score[at] - this.low) / (this.high - this.low || 1);
    return share < 0.4 ? 0 : share < 0.6 ? 1 : 2;
  }

  groupOf(at) { return this.group[at] < 0 ? null : this.groups[this.group[at]]; }
  starText(at) { return this.star[at] > 0 ? "★".repeat(this.star[at]) : this.star[at] < 0 ? "rating −1" : ""; }

  label(at) {
    const parts = [this.name[at], `score ${this.scoreText(at)}`, `percentile ${Math.round(this.percentile[at])}`];
    if (this.mark[at]) parts.push(`marked ${this.mark[at]}`);
    if (this.star[at]) parts.push(starsText(this.star[at]));
    const group = this.groupOf(at);
    if (group) parts.push(`${group.kind} of ${group.photos.length}`);
    return parts.join(", ");
  }

  // How many scores are below a threshold: they are in order.
  countBelow(threshold) {
    let [from, to] = [0, this.size];
    while (from < to) {
      const middle = (from + to) >> 1;
      if (this.score[middle] < threshold) from = middle + 1;
      else to = middle;
    }
    return from;
  }

  // The places that filters let through, in the order asked for.
  view({ show, stars, order, below }) {
    const fits = {
      all: () => true,
      going: (at) => this.mark[at] === "reject" || (this.mark[at] !== "keep" && below !== null && this.score[at] < below),
      unmarked: (at) => this.mark[at] === null,
      keep: (at) => this.mark[at] === "keep",
      reject: (at) => this.mark[at] === "reject",
      grouped: (at) => this.group[at] >= 0,
    }[show];
    const starred = {
      any: () => true,
      0: (at) => this.star[at] === 0,
    }[stars] ?? ((at) => this.star[at] >= Number(stars));
    const found = [];
    for (let at = 0; at < this.size; at++) if (fits(at) && starred(at)) found.push(at);
    if (order === "best") found.reverse();
    if (order === "name") found.sort(this.byName);
    if (order === "taken") found.sort(this.byTime);
    return found;
  }

  byName = (a, b) => collator.compare(this.name[a], this.name[b]) || a - b;
  byTime = (a, b) => {
    const [one, other] = [this.taken[a] || "~", this.taken[b] || "~"]; // after every digit
    return one < other ? -1 : one > other ? 1 : this.byName(a, b);
  };

  // What is decided is sent in its order, one after the other: an undo never overtakes what it takes back.
  inTurn(action) {
    const turn = this.turns.then(action);
    this.turns = turn.catch(() => {});
    return turn;
  }

  // Marks are shown at once, stored at once, and corrected if they could not be.
  async markAs(at, mark) {
    const [id, before] = [this.id[at], this.mark[at]];
    if (before === mark) return;
    const step = { words: `${this.name[at]} ${before ? `marked ${before}` : "unmarked"} again`, marks: [[id, before]] };
    this.done.push(step);
    this.set("mark", id, mark);
    this.tellOf([id]);
    try {
      await this.store([[id, mark]]);
    } catch (error) {
      this.done = this.done.filter((each) => each !== step);
      this.set("mark", id, before);
      this.tellOf([id]);
      throw error;
    }
    await this.putInOrder(id);
  }

  nameOf(id) { return this.name[this.placeOf.get(id)] ?? ""; }

  async store(pairs) {
    const answer = await this.inTurn(() => tell("/api/marks", { marks: pairs }));
    for (const [id, mark] of answer.marks) this.set("mark", id, mark);
    this.tellOf(answer.marks.map(([id]) => id));
    if (answer.refused.length) throw new Error(answer.refused[0][1]);
  }

  async give(at, stars) {
    const [id, before] = [this.id[at], this.star[at]];
    const answer = await this.inTurn(() => tell("/api/give", { photo: id, stars }));
    this.set("star", id, answer.stars);
    this.tellOf([id]);
    if (answer.run) this.done.push({ words: `${this.nameOf(id)} has its former stars`, run: answer.run, id, before });
    await this.putInOrder(id);
  }

  // Which frame of a burst is the best follows from what the user chose, and only then from scores.
  async putInOrder(id) {
    const at = this.placeOf.get(id);
    const group = at === undefined ? null : this.groupOf(at);
    if (!group || group.whole) return;
    let order;
    try {
      order = await this.inTurn(() => tell("/api/order", { photos: group.photos }));
    } catch (error) {
      throw new Error(`This is stored, but the burst is in its former order: ${error.message}`);
    }
    if (order.length === group.photos.length) group.photos = order;
    this.tellOf(order);
  }

  async undo() {
    const last = this.done.pop();
    if (!last) return "Nothing to undo";
    if (last.marks) {
      await this.store(last.marks);
    } else {
      const answer = await this.inTurn(() => tell("/api/undo", { run: last.run }));
      if (answer.refused.length) throw new Error(answer.refused[0]);
      this.set("star", last.id, last.before);
      this.tellOf([last.id]);
    }
    await this.putInOrder(last.id ?? last.marks[0][0]);
    return last.words;
  }
}
