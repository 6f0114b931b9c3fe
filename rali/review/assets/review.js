// The page: its parts, and the keys.
import { Controls } from "./controls.js";
import { Frames } from "./frames.js";
import { Grid } from "./grid.js";
import { Photos, starsText } from "./photos.js";
import { PlanDialog } from "./plan.js";

const part = (id) => document.getElementById(id);
const photos = new Photos();
const controls = new Controls(photos);
const grid = new Grid(part("scroller"), part("grid"), photos);
const frames = new Frames(part("frames"), photos);
const plan = new PlanDialog(photos);

const say = (text) => { part(frames.isOpen ? "frames-status" : "status").textContent = text; };
// What fails is said; nothing is tried again behind anybody's back.
const tried = async (action) => {
  try {
    const said = await action();
    if (said) say(said);
  } catch (error) {
    say(error.message);
  }
  controls.update();
};

const showView = (before) => {
  grid.show(photos.view(controls.filters), before);
  part("empty").hidden = grid.view.length > 0;
};

// --- what can be done ------------------------------------------------------------------------------------------------

const current = () => (frames.isOpen ? frames.current : grid.current);
const goOn = () => (frames.isOpen ? frames.go(1) : grid.moveTo(grid.focused + 1));

const mark = (value, isLast) => tried(async () => {
  const at = current();
  if (at === undefined) return "";
  const name = photos.name[at];
  if (!isLast) goOn();
  await photos.markAs(at, value);
  return value ? `${name}: marked ${value}` : `${name}: not marked`;
});
const give = (stars) => tried(async () => {
  const at = current();
  if (at === undefined) return "";
  const name = photos.name[at];
  await photos.give(at, stars);
  return `${name}: ${starsText(photos.star[at])}`;
});
const undo = () => tried(() => photos.undo());
const enlarge = () => {
  if (grid.current !== undefined) frames.open(grid.view, grid.focused, { side: false, title: "Photo" });
};
const compare = () => {
  const at = current();
  const group = at === undefined ? null : photos.groupOf(at);
  if (!group) {
    say("This photo is in no burst");
    return;
  }
  const list = group.photos.map((id) => photos.placeOf.get(id)).filter((at) => at !== undefined);
  if (group.whole) list.sort(photos.byTime); // no frame of a bracket is better than the others
  const title = `${group.kind[0].toUpperCase()}${group.kind.slice(1)} of ${list.length}, ${group.whole ? "as taken" : "best first"}`;
  frames.open(list, Math.max(0, list.indexOf(at)), { side: true, title });
};
const seePlan = () => plan.open(controls.choice);
const help = () => part("help").showModal();

// --- keys ------------------------------------------------------------------------------------------------------------

const KEYS = {
  k: (event) => mark("keep", !event.shiftKey),
  x: (event) => mark("reject", !event.shiftKey),
  u: (event) => mark(null, !event.shiftKey),
};
const GRID_KEYS = { z: enlarge, enter: seePlan, t: () => part("below").focus(), f: () => part("show").focus() };

// Single letters count where photos are, so that they disturb nobody who speaks to the page or types.
const onKey = (event) => {
  if (event.altKey) return;
  const key = event.key.toLowerCase();
  const inGrid = part("grid").contains(event.target) || event.target === document.body;
  const inFrames = frames.isOpen;
  if ((event.ctrlKey || event.metaKey) && key === "z" && (inGrid || inFrames)) undo();
  else if (event.ctrlKey || event.metaKey || !(inGrid || inFrames)) return;
  else if (KEYS[key]) KEYS[key](event);
  else if (/^[0-5]$/.test(key)) give(Number(key));
  else if (key === "b") compare();
  else if (inGrid && !inFrames && GRID_KEYS[key]) GRID_KEYS[key]();
  else if (key === "?") help();
  else return;
  event.preventDefault();
};
document.addEventListener("keydown", onKey);
part("controls").addEventListener("submit", (event) => {
  event.preventDefault();
  seePlan();
});
part("controls").addEventListener("keydown", (event) => {
  if (event.key === "Escape") grid.focus(); // from wherever, back to the photos
});
part("undo").addEventListener("click", undo);
part("keys").addEventListener("click", help);
part("help-close").addEventListener("click", () => part("help").close());
part("help").addEventListener("close", () => { if (!frames.isOpen) grid.focus(); });
grid.addEventListener("enlarge", enlarge);
frames.addEventListener("closed", () => grid.moveToPhoto(frames.current));
plan.addEventListener("closed", () => grid.focus());
plan.addEventListener("moved", () => load());
controls.addEventListener("threshold", () => {
  grid.threshold = controls.below;
  grid.repaint();
});
controls.addEventListener("filter", () => showView());

// --- begin -----------------------------------------------------------------------------------------------------------

const load = () => tried(async () => {
  const id = grid.current === undefined ? undefined : photos.id[grid.current];
  await photos.load();
  photos.done = photos.done.filter((each) => photos.placeOf.has(each.id ?? each.marks[0][0]));
  if (!controls.bars) controls.start();
  else controls.draw();
  grid.threshold = controls.below;
  showView(photos.placeOf.get(id)); // photos have other places now
  photos.tellAll();
  photos.loadMore().then(() => controls.filters.show === "grouped" && showView(), (error) => say(error.message));
  return "";
});
await load();
grid.focus();
