"use strict";
const cards = [...document.querySelectorAll("article")];
const slider = document.getElementById("filter");
const words = document.getElementById("words");
const large = document.getElementById("large");
const enlarged = document.getElementById("enlarged");
const said = document.getElementById("said");
const total = document.getElementById("count").textContent;
let timer = 0;

const shown = () => cards.filter((card) => !card.hidden);

function say(words) {
  said.textContent = words;
  said.classList.add("shown");
  clearTimeout(timer);
  timer = setTimeout(() => said.classList.remove("shown"), 1600);
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // pages opened from disk may not have the clipboard: the old way
    const area = document.createElement("textarea");
    area.value = text;
    document.body.append(area);
    const before = document.activeElement;
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    before?.focus();
    if (!done) {
      say(`cannot copy; it is ${text}`);
      return;
    }
  }
  say(`copied ${text}`);
}

const text = new Map(
  cards.map((card) => [card, [...card.querySelectorAll(".name, .path, .codes")].map((part) => part.textContent).join(" ").toLowerCase()]),
);

function filter() {
  const limit = Number(slider.value);
  const sure = slider.dataset.by === "confidence";
  const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const card of cards) {
    const value = Number(card.dataset[slider.dataset.by] ?? 0);
    card.hidden = (sure ? value < limit : value > limit) || !wanted.every((word) => text.get(card).includes(word));
  }
  const left = shown().length;
  document.getElementById("limit").textContent = sure ? limit.toFixed(2) : String(limit);
  document.getElementById("count").textContent = left === cards.length ? total : `${left} of ${total}`;
  document.getElementById("none").hidden = left > 0;
}

function enlarge(card) {
  const pictures = [...card.querySelectorAll("img")].map((picture) => {
    const figure = document.createElement("figure");
    const caption = document.createElement("figcaption");
    caption.textContent = picture.alt;
    figure.append(picture.cloneNode(), caption);
    return figure;
  });
  enlarged.replaceChildren(...pictures);
  large.showModal();
}

function move(step) {
  const left = shown();
  const at = left.indexOf(document.activeElement?.closest("article"));
  const next = left[at < 0 ? (step > 0 ? 0 : left.length - 1) : Math.max(0, Math.min(left.length - 1, at + step))];
  next?.focus();
  next?.scrollIntoView({ block: "nearest" });
}

slider?.addEventListener("input", filter);
words?.addEventListener("input", filter);
document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  const card = event.target.closest("article");
  if (button?.dataset.copy) copy(button.dataset.copy);
  else if (button && large.contains(button)) large.close();
  else if (event.target === large) large.close();
  else if (card && event.target.matches("img")) enlarge(card);
});
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || large.open) return;
  const card = document.activeElement?.closest("article");
  if (document.activeElement === words) {
    if (event.key === "Escape") {
      words.blur();
      move(1);
      event.preventDefault();
    }
    return;
  }
  const inSlider = document.activeElement === slider;
  const code = (what) => card?.querySelector(`[data-what="${what}"]`)?.dataset.copy;
  if (!inSlider && ["ArrowRight", "ArrowDown", "j"].includes(event.key)) move(1);
  else if (!inSlider && ["ArrowLeft", "ArrowUp", "k"].includes(event.key)) move(-1);
  else if (event.key === "Home" && !inSlider) shown()[0]?.focus();
  else if (event.key === "End" && !inSlider) shown().at(-1)?.focus();
  else if (event.key === "/") slider?.focus();
  else if (event.key === "w") words?.focus();
  else if (event.key === "Escape" && inSlider) move(1);
  else if (event.key === "c" && card) copy(code("start"));
  else if (event.key === "v" && card) copy(code("face"));
  else if (event.key === "Enter" && document.activeElement === card) enlarge(card);
  else return;
  event.preventDefault();
});
