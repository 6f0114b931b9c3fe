// The plan in a dialog: all that would go and all that stays, applied from here and from nowhere else.
import { ask, tell } from "./api.js";

const AT_ONCE = 200;
const part = (id) => document.getElementById(id);
const many = (count, noun) => `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;
const make = (tag, ...children) => {
  const element = document.createElement(tag);
  element.append(...children);
  return element;
};
const named = (text) => make("bdi", text);

export const sizeText = (bytes) => {
  if (bytes < 1000) return `${bytes} B`;
  let [size, unit] = [bytes, -1];
  do { size /= 1000; unit++; } while (size >= 999.5 && unit < 4);
  return `${size >= 99.95 ? size.toFixed(0) : size.toFixed(1)} ${["kB", "MB", "GB", "TB", "PB"][unit]}`;
};

// A table of any length, shown a few hundred rows at a time.
const table = (caption, heads, rows, rowOf) => {
  const body = make("tbody");
  const head = make("tr", ...heads.map((text) => Object.assign(make("th", text), { scope: "col" })));
  const wide = make("div", make("table", make("caption", caption), make("thead", head), body));
  wide.className = "wide";
  const more = make("button");
  more.type = "button";
  let shown = 0;
  const add = () => {
    body.append(...rows.slice(shown, shown + AT_ONCE).map((row) => make("tr", ...rowOf(row).map((cell) => make("td", cell)))));
    shown = Math.min(shown + AT_ONCE, rows.length);
    more.textContent = `Show more (${(rows.length - shown).toLocaleString("en")} left)`;
    more.hidden = shown === rows.length;
  };
  more.addEventListener("click", add);
  add();
  wide.append(more);
  return wide;
};

const fileName = (row) => {
  const cell = make("span", named(row.name));
  if (row.with?.length) {
    const also = make("span", ` with ${row.with.join(", ")}`);
    also.className = "quiet";
    cell.append(also);
  }
  const folder = make("div", named(row.folder));
  folder.className = "folder";
  return make("div", cell, folder);
};

export class PlanDialog extends EventTarget {
  constructor(photos) {
    super();
    this.photos = photos;
    this.dialog = part("plan");
    this.dialog.addEventListener("close", () => this.dispatchEvent(new Event("closed")));
    this.dialog.addEventListener("cancel", (event) => { if (this.busy) event.preventDefault(); });
  }

  button(text, action, className = "") {
    const button = make("button", text);
    button.type = "button";
    button.className = className;
    button.addEventListener("click", action);
    return button;
  }

  show(title, body, buttons, focus) {
    part("plan-title").textContent = title;
    part("plan-body").replaceChildren(...body);
    part("plan-buttons").replaceChildren(...buttons);
    if (!this.dialog.open) this.dialog.showModal();
    (focus ?? part("plan-title")).focus();
  }

  close() { this.dialog.close(); }

  async open(choice) {
    this.show("Making the plan …", [], []);
    let plan;
    try {
      plan = await this.photos.inTurn(() => tell("/api/plan", choice)); // after the marks that are on their way
    } catch (error) {
      this.fail("No plan", error);
      return;
    }
    const cancel = this.button("Cancel", () => this.close());
    const body = [];
    const rejectsToo = choice.per_burst || choice.below !== null ? ", and what is marked reject" : "";
    if (plan.shots.length) {
      body.push(make("p", `${many(plan.shots.length, "photo")} of ${plan.considered.toLocaleString("en")} would go: ${many(plan.files, "file")}, ${sizeText(plan.size_bytes)}. Chosen: ${plan.chosen}${rejectsToo}.`));
      body.push(make("p", "They would go into ", ...plan.places.flatMap((place, at) => [at ? ", " : "", named(place)]), ". Nothing is deleted."));
    } else {
      body.push(make("p", `Nothing to cull: ${plan.chosen}, of ${many(plan.considered, "scored photo")}.`));
    }
    if (plan.shots.length && plan.held_back.length) {
      body.push(make("p", `${many(plan.held_back.length, "photo")} that would go too ${plan.held_back.length === 1 ? "is" : "are"} held back, for the reasons below.`));
    }
    const apply = this.button(`Move ${many(plan.shots.length, "photo")}`, () => this.apply(plan, meant?.checked ?? false), "main");
    let meant = null;
    if (plan.over) {
      meant = Object.assign(make("input"), { type: "checkbox", id: "meant" });
      apply.disabled = true;
      meant.addEventListener("change", () => { apply.disabled = !meant.checked; });
      const label = make("label", meant, ` Look twice: ${plan.over}. It is meant.`);
      body.push(Object.assign(make("p", label), { className: "warning" }));
    }
    if (plan.shots.length) {
      body.push(table("Would go", ["Score", "Pct", "Photo", "Why", "Size"], plan.shots, (shot) => [
        shot.score === null ? "–" : shot.score.toFixed(this.photos.digits()),
        shot.percentile === null ? "–" : String(Math.round(shot.percentile)),
        fileName(shot), shot.why, sizeText(shot.size_bytes),
      ]));
    }
    if (plan.held_back.length) body.push(this.stays(`Held back: ${many(plan.held_back.length, "photo")}`, plan.held_back));
    this.show("Plan", body, plan.shots.length ? [cancel, apply] : [this.button("Close", () => this.close())], plan.shots.length ? cancel : null);
  }

  stays(caption, held) {
    return table(caption, ["Rule", "Photo", "Why it stays"], held, (row) => [row.rule, fileName(row), row.detail]);
  }

  fail(title, error) {
    const close = this.button("Close", () => this.close());
    this.show(title, [Object.assign(make("p", error.message), { className: "warning" })], [close], close);
  }

  // Wait for something that moves photos, and tell how far it is.
  async moving(title, total, action) {
    const bar = Object.assign(make("progress"), { max: total, value: 0 });
    const line = make("p", `0 of ${many(total, "photo")}`);
    this.busy = true;
    this.show(title, [bar, line], []);
    const timer = setInterval(async () => {
      const { moved } = await ask("/api/progress").catch(() => ({ moved: 0 }));
      bar.value = moved;
      line.textContent = `${moved.toLocaleString("en")} of ${many(total, "photo")}`;
    }, 400);
    try {
      return await action();
    } finally {
      clearInterval(timer);
      this.busy = false;
    }
  }

  async apply(plan, meant) {
    let done;
    try {
      done = await this.moving("Moving photos", plan.shots.length, () => this.photos.inTurn(() => tell("/api/apply", { plan: plan.plan, meant })));
    } catch (error) {
      this.fail("Not applied", error);
      return;
    }
    this.dispatchEvent(new Event("moved"));
    const body = [];
    if (done.run) {
      body.push(make("p", `Moved ${many(done.photos, "photo")} (${many(done.files, "file")}, ${sizeText(done.size_bytes)}).`));
      body.push(make("p", "They are in ", ...done.places.flatMap((place, at) => [at ? ", " : "", named(place)]), "."));
      body.push(make("p", "Undo with: ", make("code", done.undo)));
    } else body.push(make("p", "Nothing was moved."));
    if (done.trouble) body.push(Object.assign(make("p", done.trouble), { className: "warning" }));
    if (done.stayed.length) body.push(this.stays(`${many(done.stayed.length, "photo")} stayed`, done.stayed));
    const close = this.button("Close", () => this.close(), "main");
    const undo = done.run ? [this.button("Undo now", () => this.undo(done))] : [];
    this.show("Applied", body, [...undo, close], close);
  }

  async undo(done) {
    let answer;
    try {
      answer = await this.moving("Bringing photos back", done.photos, () => this.photos.inTurn(() => tell("/api/undo", { run: done.run })));
    } catch (error) {
      this.fail("Not undone", error);
      return;
    }
    this.dispatchEvent(new Event("moved"));
    const close = this.button("Close", () => this.close(), "main");
    const stayed = answer.refused.map((reason) => Object.assign(make("p", reason), { className: "warning" }));
    this.show("Undone", [make("p", `Brought back ${many(answer.back, "photo")}.`), ...stayed], [close], close);
  }
}
