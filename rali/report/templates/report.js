"use strict";
(() => {
  const grid = document.getElementById("all");
  if (!grid) return;
  const cards = [...grid.children];
  const pictureIn = (card) => card.querySelector(".picture img");
  const textIn = (card, part) => card.querySelector(part)?.textContent ?? "";

  // Each small picture is in the page once; where a photo is shown again, it is taken from there.
  const small = new Map(cards.filter(pictureIn).map((card) => [card.dataset.number, pictureIn(card).src]));
  for (const image of document.querySelectorAll("img[data-of]")) image.src = small.get(image.dataset.of) ?? "";
  const large = new Map(Object.entries(JSON.parse(document.getElementById("previews").textContent)));
  for (const card of document.querySelectorAll(".cards.large > .card")) {
    const image = pictureIn(card);
    if (image && !image.dataset.of) large.set(card.dataset.number, image.src);
  }

  // Sorting. What has no time goes last, whichever way.
  const collator = new Intl.Collator(undefined, { numeric: true, sensitivity: "base" });
  const name = (card) => textIn(card, ".name bdi");
  const compare = {
    score: (a, b, way) => way * (a.dataset.score - b.dataset.score),
    name: (a, b, way) => way * collator.compare(name(a), name(b)),
    taken: (a, b, way) => {
      const [one, other] = [a.dataset.taken, b.dataset.taken];
      if (!one || !other) return (one ? 0 : 1) - (other ? 0 : 1);
      return way * (one < other ? -1 : one > other ? 1 : 0);
    },
  };
  const order = document.getElementById("order");
  const sort = () => {
    const [key, way] = order.value.split(" ");
    grid.append(...[...cards].sort((a, b) => compare[key](a, b, Number(way))));
  };
  order.addEventListener("change", sort);
  document.getElementById("sorting").hidden = false;
  sort(); // a browser that reloads the page keeps what was chosen before

  // Enlarging: any card, and from there to its neighbours in the same list.
  const zoom = document.getElementById("zoom");
  const part = (id) => document.getElementById(`zoom-${id}`);
  let shown = null;
  const show = (card) => {
    shown = card;
    const number = card.dataset.number;
    const source = large.get(number) ?? small.get(number);
    part("picture").hidden = !source;
    if (source) part("picture").src = source;
    part("picture").classList.toggle("small", !large.has(number));
    part("score").textContent = textIn(card, ".score");
    part("score").className = card.querySelector(".score").className;
    part("percentile").textContent = textIn(card, ".percentile");
    part("name").textContent = name(card);
    part("picture").alt = name(card);
    const more = [".folder", ".taken", ".why", ".none"].map((each) => textIn(card, each)).filter(Boolean);
    if (source && !large.has(number)) more.push("small picture only");
    part("more").textContent = more.join(" \u00b7 ");
    part("previous").disabled = !neighbour(-1);
    part("next").disabled = !neighbour(1);
  };
  const neighbour = (way) => {
    const next = way < 0 ? shown.previousElementSibling : shown.nextElementSibling;
    return next?.classList.contains("card") ? next : null;
  };
  const move = (way) => { if (neighbour(way)) show(neighbour(way)); };
  document.addEventListener("click", (event) => {
    const button = event.target.closest(".card .picture");
    if (!button) return;
    show(button.closest(".card"));
    zoom.showModal();
  });
  part("previous").addEventListener("click", () => move(-1));
  part("next").addEventListener("click", () => move(1));
  part("close").addEventListener("click", () => zoom.close());
  zoom.addEventListener("click", (event) => { if (event.target === zoom) zoom.close(); });
  zoom.addEventListener("keydown", (event) => {
    if (event.key === "ArrowLeft") move(-1);
    else if (event.key === "ArrowRight") move(1);
    else return;
    event.preventDefault();
  });
  zoom.addEventListener("close", () => shown?.querySelector(".picture").focus());
})();
