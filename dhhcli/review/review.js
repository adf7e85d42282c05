"use strict";
// All that comes from outside (names, paths) is put into the page as text, never as markup.

const COUNT = 60;
const VIEWS = ["people", "ask", "picks"];
const at = (id) => document.getElementById(id);
const state = {
  view: "people", person: 0, content: "", current: "", chosen: new Set(), picks: new Map(), items: new Map(), names: [],
  question: empty(), answer: null, before: [], asking: 0,
};

function empty() {
  return { photos: [], name: "", person: 0, face: 1, yes: [], no: [], top: COUNT };
}

// ------------------------------------------------------------------------------------------------------- building

function make(tag, values = {}, ...children) {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(values)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key in element && key !== "list") element[key] = value;
    else element.setAttribute(key, value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

function button(words, action, values = {}) {
  return make("button", { type: "button", textContent: words, onclick: action, ...values });
}

function picture(source, what) {
  const image = make("img", { alt: what, loading: "lazy", decoding: "async", width: 132, height: 132 });
  image.addEventListener("error", () => image.replaceWith(make("div", { className: "absent", role: "img", "aria-label": `${what}: no picture`, textContent: "no picture" })));
  image.src = source;
  return image;
}

const face = (row, what) => picture(`face/${state.content}/${row}`, what);
const called = (one) => one.name || `person ${one.person}`;
const counted = (number, what) => `${number.toLocaleString("en")} ${what}${number === 1 ? "" : "s"}`;

function lasted(seconds) {
  const whole = Math.round(seconds);
  const minutes = Math.floor(whole / 60);
  return `${minutes}:${String(whole % 60).padStart(2, "0")} min`;
}

let timer = 0;
function say(words) {
  at("said").textContent = words;
  at("said").classList.add("shown");
  clearTimeout(timer);
  timer = setTimeout(() => at("said").classList.remove("shown"), 3000 + 40 * words.length);
}

async function call(path, body) {
  const how = body === undefined ? {} : body instanceof Blob
    ? { method: "POST", body, headers: { "content-type": body.type || "application/octet-stream" } }
    : { method: "POST", body: JSON.stringify(body), headers: { "content-type": "application/json" } };
  let answer;
  try {
    answer = await fetch(path, how);
  } catch {
    throw new Error("dhh review has ended; begin it again and open the address that it prints");
  }
  const value = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(value.error ?? `the page got no answer (${answer.status})`);
  return value;
}

/** Run what may fail; its words are shown. */
async function trying(action) {
  try {
    return await action();
  } catch (error) {
    say(error.message);
    return undefined;
  }
}

// ---------------------------------------------------------------------------------------------------------- lists

const feeds = {
  people: { list: "people-list", end: "people-end", get: getPeople, card: personCard },
  person: { list: "person-list", end: "person-end", get: getTracks, card: trackCard },
};
for (const feed of Object.values(feeds)) Object.assign(feed, { loaded: 0, total: 0, round: 0, busy: false });

async function getPeople(first, count) {
  const found = await call(`people?from=${first}&count=${count}&find=${encodeURIComponent(at("find").value)}`);
  state.content = found.content;
  state.names = found.names;
  at("names").replaceChildren(...found.names.map((name) => make("option", { value: name })));
  at("people-count").textContent =
    (found.found === found.all ? counted(found.all, "person").replace("persons", "people") : `${found.found} of ${found.all} people`) +
    `, ${counted(found.tracks, "track")}`;
  for (const note of found.notes) say(note);
  return { items: found.people, total: found.found };
}

async function getTracks(first, count) {
  const found = await call(`person/${state.person}?from=${first}&count=${count}`);
  state.content = found.content;
  at("person-title").textContent = called(found);
  if (state.view === "person") document.title = called(found);
  at("person").dataset.name = found.name;
  at("person-count").textContent =
    `${found.name ? `number ${found.person}, ` : ""}${lasted(found.seconds)}, ${counted(found.tracks, "track")} in ` +
    `${counted(found.shots, "shot")} of ${counted(found.videos, "file")}, ${found.sure} sure`;
  at("person").querySelector("[data-do=unname]").hidden = !found.name;
  return { items: found.list, total: found.tracks };
}

async function more(feed) {
  if (feed.busy || feed.loaded >= feed.total) return;
  feed.busy = true;
  const round = feed.round;
  await trying(async () => {
    const found = await feed.get(feed.loaded, COUNT);
    if (round !== feed.round) return;
    feed.total = found.total;
    put(feed, found.items);
  });
  if (round === feed.round) feed.busy = false;
}

function put(feed, items) {
  for (const item of items) state.items.set(keyOf(item), item);
  at(feed.list).append(...items.map((item) => feed.card(item)));
  feed.loaded += items.length;
  at(feed.end).textContent = feed.loaded < feed.total ? "…" : feed.total ? "" : "Nobody.";
  again(at(feed.end));
}

/** Fetch a list anew, as far as it was there, and come back to the same card. */
async function reload(name) {
  const feed = feeds[name];
  const wanted = Math.max(COUNT, feed.loaded);
  const round = ++feed.round;
  feed.busy = true;
  const place = cards().indexOf(card(state.current));
  await trying(async () => {
    const items = [];
    let total = 0;
    do {
      const found = await feed.get(items.length, Math.min(500, wanted - items.length));
      if (round !== feed.round || state.view !== name) return;
      total = found.total;
      items.push(...found.items);
      if (!found.items.length) break;
    } while (items.length < Math.min(wanted, total));
    at(feed.list).replaceChildren();
    Object.assign(feed, { loaded: 0, total });
    put(feed, items);
    settle(place);
  });
  if (round === feed.round) feed.busy = false;
}

const seen = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    const feed = Object.values(feeds).find((one) => at(one.end) === entry.target);
    if (entry.isIntersecting && state.view === entry.target.id.split("-")[0]) more(feed);
  }
}, { rootMargin: "1200px" });
/** Watched anew once more is there, so that it is told again where the end is still in sight; nothing asks without end. */
function again(element) {
  seen.unobserve(element);
  seen.observe(element);
}
for (const feed of Object.values(feeds)) seen.observe(at(feed.end));

// ---------------------------------------------------------------------------------------------------------- cards

const keyOf = (item) => (item.id ? item.id : String(item.person));

function article(key, words, ...children) {
  const made = make("article", { tabIndex: -1, "aria-label": words, ...(state.chosen.has(key) ? { className: "chosen" } : {}) }, ...children);
  made.dataset.key = key;
  for (const one of made.querySelectorAll("a, button")) one.tabIndex = -1;
  return made;
}

const chooser = (key) =>
  button("Choose", () => choose(key), { "aria-pressed": String(state.chosen.has(key)), "data-choose": "" });

function personCard(one) {
  const key = keyOf(one);
  const made = article(
    key,
    `${called(one)}, ${lasted(one.seconds)}, ${counted(one.tracks, "track")}`,
    make("h2", { className: "title" }, make("a", { href: `#person/${one.person}` }, make("bdi", { textContent: called(one) })),
      make("small", { textContent: one.name ? `number ${one.person}` : "" })),
    make("div", { className: "faces" }, ...one.faces.map((row, number) => face(row, `${called(one)}, face ${number + 1}`))),
    make("p", { className: "note" }, make("span", { textContent: `${lasted(one.seconds)}, ${counted(one.tracks, "track")}, ${counted(one.videos, "file")}` }),
      one.sure ? make("span", { className: "badge", textContent: `${one.sure} sure` }) : null),
    make("div", { className: "row" }, chooser(key), button("Name", () => toName([one.person]))),
  );
  made.querySelector(".faces").addEventListener("click", () => { location.hash = `person/${one.person}`; });
  return made;
}

function trackCard(one) {
  const key = keyOf(one);
  const made = article(
    key,
    `${one.at || "photo"}, shot ${one.shot} of ${one.video}${one.sure ? ", sure" : ""}`,
    face(one.row, `shot ${one.shot} of ${one.video}${one.at ? ` at ${one.at}` : ""}`),
    make("p", { className: "note" }, make("bdi", { textContent: one.video, title: one.path }), one.sure ? make("span", { className: "badge", textContent: "sure" }) : null),
    make("p", { className: "note" }, make("span", { textContent: one.at || "photo" }), make("span", { textContent: one.still ? "" : `${one.seconds} s` })),
    make("div", { className: "row" }, chooser(key), button(one.still ? "Show" : "Play", () => play(key), { "data-play": "" })),
  );
  made.querySelector("img").addEventListener("click", () => choose(key));
  return made;
}

function hitCard(one) {
  const key = keyOf(one);
  const like = one.like ? (one.like.photo === undefined ? face(one.like.track, "face that was asked with") : picture(`asked/${one.like.photo}`, "photo that matched")) : null;
  const picked = state.picks.has(key);
  const made = article(
    key,
    `number ${one.rank}, shot ${one.shot} of ${one.video}${one.yes ? ", right" : ""}`,
    make("h2", { className: "title" }, make("bdi", { textContent: one.video, title: one.path }), make("small", { textContent: `#${one.rank}` })),
    make("div", { className: "pair" },
      make("figure", {}, face(one.row, `face found in shot ${one.shot}`), make("figcaption", { textContent: one.name || "found" })),
      like ? make("figure", {}, like, make("figcaption", { textContent: "like this" })) : null),
    make("p", { className: "note" }, make("span", { textContent: one.words || `${one.distance} of ${one.bits} bits differ` }),
      one.yes ? make("span", { className: "badge", textContent: "right" }) : null),
    make("p", { className: "note" }, make("span", { textContent: one.still ? "photo" : `shot ${one.shot}, ${one.start} – ${one.end}` })),
    make("div", { className: "row" },
      ...(state.view === "picks" ? [] : [chooser(key),
        button("Right", () => next(() => judge("yes", [key])), { "aria-pressed": String(Boolean(one.yes)) }),
        button("Wrong", () => next(() => judge("no", [key])))]),
      button(one.still ? "Show" : "Play", () => play(key), { "data-play": "" }),
      button("Pick", () => pick([key]), { "aria-pressed": String(picked), "data-pick": "" })),
  );
  made.querySelector(".pair").addEventListener("click", () => play(key));
  return made;
}

const listed = () => at(`${state.view}-list`);
const cards = () => [...listed().children];
const card = (key) => listed().querySelector(`[data-key="${CSS.escape(key)}"]`);

/** Make a card the one that keys are about. */
function settleOn(made, focus = true) {
  for (const old of listed().querySelectorAll("article[aria-current]")) {
    old.removeAttribute("aria-current");
    old.tabIndex = -1;
    for (const one of old.querySelectorAll("a, button")) one.tabIndex = -1;
  }
  state.current = made?.dataset.key ?? "";
  if (!made) return;
  made.setAttribute("aria-current", "true");
  made.tabIndex = 0;
  for (const one of made.querySelectorAll("a, button")) one.tabIndex = 0;
  if (focus) {
    made.focus({ preventScroll: true });
    made.scrollIntoView({ block: "nearest" });
  }
}

/** The same card again after a list was made anew, else the one in its place. */
function settle(place) {
  for (const key of state.chosen) if (!card(key)) state.chosen.delete(key);
  tellChosen();
  const all = cards();
  const on = document.activeElement;
  const free = !on || on === document.body || (on.closest("main") && !on.closest("input, select"));
  settleOn(card(state.current) ?? all[Math.max(0, Math.min(place, all.length - 1))], Boolean(free && place >= 0));
}

function move(key) {
  const all = cards();
  const place = all.indexOf(card(state.current));
  const columns = getComputedStyle(listed()).gridTemplateColumns.split(" ").length;
  const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns, Home: -Infinity, End: Infinity }[key];
  const inList = listed().contains(document.activeElement) || Math.abs(step) === Infinity;
  settleOn(all[inList ? Math.max(0, Math.min(all.length - 1, place + step)) : Math.max(0, place)]);
}

function choose(key, on = !state.chosen.has(key)) {
  state.chosen[on ? "add" : "delete"](key);
  const made = card(key);
  made?.classList.toggle("chosen", on);
  made?.querySelector("[data-choose]")?.setAttribute("aria-pressed", String(on));
  if (made) settleOn(made, false);
  tellChosen();
}

function tellChosen() {
  at("selected").hidden = !state.chosen.size;
  at("selected").textContent = `${state.chosen.size} chosen`;
}

function letGo() {
  for (const key of [...state.chosen]) choose(key, false);
}

/** What an action is about: the cards chosen, in their order, else the current one. */
function meant() {
  const chosen = cards().map((one) => one.dataset.key).filter((key) => state.chosen.has(key));
  return chosen.length ? chosen : state.current ? [state.current] : [];
}

// -------------------------------------------------------------------------------------------------------- playing

function play(key) {
  const made = card(key);
  const open = made.classList.contains("playing");
  for (const other of document.querySelectorAll("article.playing")) {
    other.classList.remove("playing");
    const video = other.querySelector("video");
    video?.pause();
    video?.removeAttribute("src");
    video?.load();
    other.querySelector(".stage").remove();
    other.querySelector("[data-play]").setAttribute("aria-pressed", "false");
  }
  if (open) return;
  settleOn(made);
  const one = state.items.get(key);
  made.classList.add("playing");
  made.querySelector("[data-play]").setAttribute("aria-pressed", "true");
  const video = document.createElement("video");
  made.querySelector(".row").before(one.type && video.canPlayType(one.type) ? film(video, one) : frames(one));
  made.scrollIntoView({ block: "nearest" });
}

function film(video, one) {
  Object.assign(video, { controls: true, preload: "metadata", playsInline: true });
  video.setAttribute("aria-label", `${one.video} from ${one.at}`);
  const stage = make("div", { className: "stage" }, video);
  video.addEventListener("loadedmetadata", () => {
    video.currentTime = one.from;
    video.play().catch(() => undefined); // some browsers want another click
  }, { once: true });
  video.addEventListener("error", () => { if (video.hasAttribute("src")) stage.replaceWith(frames(one)); });
  video.src = `media/${one.media}`;
  return stage;
}

function frames(one) {
  const which = one.still ? [["best", "photo"]] : [["first", "first frame"], ["best", "frame with the best face"], ["last", "last frame"]];
  return make("div", { className: "stage frames" }, ...which.map(([name, words]) =>
    make("figure", {}, picture(`still/${encodeURIComponent(one.id)}/${name}`, words), make("figcaption", { textContent: words }))));
}

// -------------------------------------------------------------------------------------------------------- actions

async function decide(body) {
  const done = await trying(() => call("do", body));
  if (!done) return false;
  say(done.said.join("; "));
  letGo();
  await refresh();
  return true;
}

/** Show what is there now. */
async function refresh() {
  if (state.view in feeds) await reload(state.view);
  else if (state.view === "ask" && state.answer) await ask();
}

function answered(dialog) {
  return new Promise((resolve) => {
    dialog.returnValue = "";
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "ok"), { once: true });
    dialog.showModal();
  });
}

async function nameFrom(title, value) {
  at("naming-title").textContent = title;
  at("new-name").value = value;
  const done = answered(at("naming"));
  at("new-name").select();
  return (await done) ? at("new-name").value.trim() : "";
}

async function toName(people) {
  if (!people.length) return;
  const own = people.map((person) => state.items.get(String(person))?.name ?? "").find(Boolean) ?? (state.view === "person" ? at("person").dataset.name : "");
  const name = await nameFrom(people.length > 1 ? `Name ${people.length} people, who are one then` : own ? `Rename ${own}` : `Name person ${people[0]}`, own);
  if (name) await decide({ do: "name", people, name });
}

async function forget(body, words) {
  const goes = await trying(() => call("goes", body));
  if (!goes) return;
  if (!goes.lines.length) {
    say("nothing of it is left");
    return;
  }
  const shown = goes.lines.slice(0, 200);
  at("forgetting-words").textContent =
    `${words}: ${counted(goes.lines.length, "track")}${goes.lines.length > shown.length ? `, of which ${shown.length} are shown` : ""}. ` +
    "Codes, pictures and times are erased; no undo and no encoding brings them back.";
  at("forgetting-faces").replaceChildren(...shown.map((one) => face(one.row, `shot ${one.shot} of ${one.video}`)));
  if (!(await answered(at("forgetting")))) return;
  const done = await trying(() => call("forget", { ...body, agreed: goes.agreed }));
  if (!done) return;
  say(done.said.join("; "));
  letGo();
  for (const one of goes.lines) state.picks.delete(one.id);
  tellPicks();
  if (state.view === "person" && body.person === state.person) location.hash = "people";
  else await refresh();
}

async function undo() {
  if (state.view === "ask" && state.before.length) {
    state.question = { ...state.question, ...state.before.pop() };
    say("taken back");
    await ask();
    return;
  }
  await decide({ do: "undo" });
}

/** Right or wrong: of somebody known it goes into the journal, else it belongs to the question. */
async function judge(what, keys) {
  const person = state.view === "person" ? state.person : state.answer?.person;
  if (!keys.length) return;
  if (person) {
    await decide({ do: what === "yes" ? "yes" : "not", person, tracks: keys });
    return;
  }
  const { yes, no } = state.question;
  state.before.push({ yes, no });
  const left = (all) => all.filter((key) => !keys.includes(key));
  state.question.yes = what === "yes" ? [...left(yes), ...keys] : left(yes);
  state.question.no = what === "no" ? [...left(no), ...keys] : left(no);
  letGo();
  await ask();
}

function pick(keys) {
  for (const key of keys) {
    if (state.picks.has(key)) state.picks.delete(key);
    else state.picks.set(key, state.items.get(key));
    card(key)?.querySelector("[data-pick]")?.setAttribute("aria-pressed", String(state.picks.has(key)));
  }
  letGo();
  tellPicks();
  if (state.view === "picks") showPicks();
}

function tellPicks() {
  at("picked").textContent = String(state.picks.size);
}

function showPicks() {
  const place = cards().indexOf(card(state.current));
  listed().replaceChildren(...[...state.picks.values()].map((one, number) => hitCard({ ...one, rank: number + 1, like: null })));
  settle(place);
}

async function exportPicks() {
  const body = { format: at("format").value, order: at("order").value, handles: at("handles").value, picks: [...state.picks.keys()] };
  const made = await trying(() => call("export", body));
  if (!made) return;
  const bytes = Uint8Array.from(atob(made.data), (letter) => letter.charCodeAt(0));
  const address = URL.createObjectURL(new Blob([bytes], { type: "application/octet-stream" }));
  make("a", { href: address, download: made.name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
  say([`${made.name}: ${bytes.length.toLocaleString("en")} bytes`, ...made.said].join("; "));
}

// ------------------------------------------------------------------------------------------------------------ ask

async function ask() {
  const round = ++state.asking;
  at("ask-count").textContent = "asking …";
  const place = cards().indexOf(card(state.current));
  const found = await trying(() => call("ask", { ...state.question, photos: state.question.photos.map((one) => one.photo) }));
  if (round !== state.asking) return;
  if (!found) {
    state.answer = {};
    at("ask-list").replaceChildren();
    at("more").hidden = true;
    showAsked();
    at("ask-count").textContent = at("said").textContent;
    return;
  }
  state.answer = found;
  state.content = found.content;
  for (const one of found.hits) state.items.set(keyOf(one), one);
  at("ask-list").replaceChildren(...found.hits.map(hitCard));
  at("ask-count").textContent = [found.hits.length ? `${counted(found.hits.length, "shot")}, most likely first` : "nobody found", ...found.notes].join("; ");
  at("more").hidden = !found.more;
  at("ask").querySelector("[data-do=keep]").hidden = Boolean(found.person);
  showAsked();
  if (state.view === "ask") settle(place);
}

function showAsked() {
  const { photos, name, person, face: which } = state.question;
  const figures = photos.map(({ photo, name: own, faces }) =>
    make("figure", {}, picture(`asked/${photo}?face=${photos.length === 1 ? which : 1}`, `asked with ${own}`), make("figcaption", { title: own }, make("bdi", { textContent: own })),
      make("div", { className: "row" },
        faces > 1 && photos.length === 1 ? button(`face ${which} of ${faces}`, () => { state.question.face = (which % faces) + 1; ask(); }, { title: "another face of the photo" }) : null,
        button("Leave out", () => leaveOut(photo), { "aria-label": `Leave ${own} out` }))));
  at("asked").replaceChildren(...figures);
  at("name").value = name || (person ? `person ${person}` : at("name").value);
}

function leaveOut(photo) {
  state.question.photos = state.question.photos.filter((one) => one.photo !== photo);
  state.question.face = 1;
  if (state.question.photos.length) ask();
  else {
    state.answer = null;
    showAsked();
    at("ask-list").replaceChildren();
    at("ask-count").textContent = "";
  }
}

async function takePhotos(files) {
  const photos = [...files].filter((file) => file.type.startsWith("image/") || !file.type);
  if (!photos.length) {
    say("that is no photo");
    return;
  }
  const kept = state.question.photos.slice();
  const failed = [];
  for (const file of photos) {
    try {
      kept.push(await call(`photo?name=${encodeURIComponent(file.name || "pasted")}`, file));
    } catch (error) {
      failed.push(error.message);
    }
  }
  if (failed.length) say(failed.join("; "));
  if (kept.length === state.question.photos.length) return;
  start({ photos: kept });
}

/** Ask anew. */
function start(values) {
  state.question = { ...empty(), ...values };
  state.before = [];
  state.current = "";
  at("name").value = state.question.name;
  if (state.view === "ask") ask();
  else {
    state.answer = {};
    location.hash = "ask";
  }
}

const findMore = (one) => start(one.name ? { name: one.name } : { person: one.person });

// ----------------------------------------------------------------------------------------------------- what is done

let settled = Promise.resolve();

/** An action is about what is shown, so it waits until what the one before it changed is shown. */
function next(action) {
  settled = settled.then(action, action);
}

async function run(what) {
  const keys = meant();
  const numbers = state.view === "people" ? keys.map(Number) : [state.person];
  if (state.view === "people") {
    if (!keys.length) return;
    if (what === "name") await toName(numbers);
    if (what === "merge") await decide({ do: "merge", people: numbers });
    if (what === "find") findMore(state.items.get(keys[0]));
    if (what === "forget") await forget({ person: numbers[0] }, called(state.items.get(keys[0])));
  } else if (state.view === "person") {
    const name = at("person").dataset.name;
    if (what === "name") await toName(numbers);
    if (what === "unname" && name) await decide({ do: "unname", name });
    if (what === "find") findMore({ name, person: state.person });
    if (what === "yes" || what === "no") await judge(what, keys);
    if (what === "split") await decide({ do: "split", person: state.person, tracks: keys.filter((key) => state.chosen.has(key)) });
    if (what === "forget" && state.chosen.size) await forget({ tracks: keys }, "the tracks chosen");
    else if (what === "forget") await forget({ person: state.person }, name || `person ${state.person}`);
  } else if (state.view === "ask") {
    if (what === "yes" || what === "no") await judge(what, keys);
    if (what === "pick") pick(keys);
    if (what === "keep" || what === "name") await keep();
  } else if (what === "pick") pick(keys);
}

async function keep() {
  if (state.answer?.person || !state.answer) return;
  const { yes, no } = state.question;
  if (!yes.length) {
    say("say which hits are right first");
    return;
  }
  const name = await nameFrom("Name who is right", "");
  if (!name) return;
  const done = await trying(() => call("do", { do: "keep", name, yes, no }));
  if (!done) return;
  say(done.said.join("; "));
  start({ name });
}

for (const group of document.querySelectorAll(".actions")) {
  group.addEventListener("click", (event) => {
    const what = event.target.closest("[data-do]")?.dataset.do;
    if (what) next(() => run(what));
  });
}
for (const one of document.querySelectorAll("[data-close]")) one.addEventListener("click", () => one.closest("dialog").close(""));
at("undo").addEventListener("click", () => next(undo));
at("keys").addEventListener("click", () => at("help").showModal());
at("more").addEventListener("click", () => { state.question.top += COUNT; ask(); });
at("question").addEventListener("submit", (event) => {
  event.preventDefault();
  const name = at("name").value.trim();
  const number = /^(?:person )?(\d{1,9})$/.exec(name);
  if (name) start(number ? { person: Number(number[1]) } : { name });
  else if (state.question.photos.length) ask();
});
at("export").addEventListener("submit", (event) => { event.preventDefault(); exportPicks(); });
at("files").addEventListener("change", () => { takePhotos(at("files").files).then(() => { at("files").value = ""; }); });
let waiting = 0;
at("find").addEventListener("input", () => {
  clearTimeout(waiting);
  waiting = setTimeout(() => { feeds.people.loaded = 0; reload("people"); }, 150);
});
document.addEventListener("dragover", (event) => { event.preventDefault(); at("drop").classList.add("over"); });
document.addEventListener("dragleave", () => at("drop").classList.remove("over"));
document.addEventListener("drop", (event) => {
  event.preventDefault();
  at("drop").classList.remove("over");
  if (event.dataTransfer.files.length) takePhotos(event.dataTransfer.files);
});
document.addEventListener("paste", (event) => {
  if (!event.clipboardData.files.length) return;
  event.preventDefault();
  takePhotos(event.clipboardData.files);
});
document.addEventListener("focusin", (event) => {
  const made = event.target.closest("article");
  if (made && listed().contains(made) && made.dataset.key !== state.current) settleOn(made, false);
});

const KEYS = { n: "name", m: "merge", y: "yes", x: "no", s: "split", f: "find", p: "pick", Delete: "forget" };
document.addEventListener("keydown", (event) => {
  const on = event.target;
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  if (on.matches("input, select, textarea, video")) {
    if (event.key === "Escape" && !on.matches("select")) settleOn(card(state.current) ?? cards()[0]);
    return;
  }
  const made = on.matches("article") ? on : null;
  if (event.key.startsWith("Arrow") || event.key === "Home" || event.key === "End") move(event.key);
  else if (event.key === " " && made) choose(made.dataset.key);
  else if (event.key === "Enter" && made) {
    if (state.view === "people") location.hash = `person/${made.dataset.key}`;
    else play(made.dataset.key);
  } else if (event.key in KEYS) next(() => run(KEYS[event.key]));
  else if (event.key === "u") next(undo);
  else if (event.key === "?") at("help").showModal();
  else if (event.key === "/") {
    if (state.view === "ask") at("name").focus();
    else if (state.view === "people") at("find").focus(); // at once: letters may follow
    else {
      location.hash = "people";
      setTimeout(() => at("find").focus());
    }
  } else if (event.key === "g") location.hash = VIEWS[(VIEWS.indexOf(state.view) + 1) % VIEWS.length];
  else if (event.key === "Escape") {
    if (document.querySelector("article.playing")) play(document.querySelector("article.playing").dataset.key);
    else if (state.chosen.size) letGo();
    else if (state.view === "person") location.hash = "people";
    else return;
  } else return;
  event.preventDefault();
});

// --------------------------------------------------------------------------------------------------------- routing

const places = {}; // view -> where it was left
async function route() {
  const [view, number] = location.hash.slice(1).split("/");
  const playing = document.querySelector("article.playing");
  if (playing && listed().contains(playing)) play(playing.dataset.key);
  places[state.view] = { current: state.current, scroll: scrollY };
  state.chosen.clear();
  tellChosen();
  state.view = view === "person" || VIEWS.includes(view) ? view : "people";
  const person = view === "person" ? Number(number) || 0 : state.person;
  for (const name of [...VIEWS, "person"]) at(name).hidden = name !== state.view;
  for (const name of VIEWS) {
    const here = name === state.view || (name === "people" && state.view === "person");
    at(`to-${name}`)[here ? "setAttribute" : "removeAttribute"]("aria-current", "page");
  }
  const before = state.view === "person" && person !== state.person ? {} : places[state.view] ?? {};
  state.person = person;
  state.current = before.current ?? "";
  document.title = { people: "People", person: "Person", ask: "Ask", picks: "Picked shots" }[state.view];
  if (state.view in feeds) {
    if (!("current" in before)) {
      feeds[state.view].loaded = 0;
      listed().replaceChildren();
    }
    await reload(state.view);
  } else if (state.view === "picks") showPicks();
  else if (state.answer) await ask();
  scrollTo(0, before.scroll ?? 0);
  if (state.view === "ask" && !state.answer) at("name").focus();
  else if (!document.activeElement?.closest("dialog, input")) settleOn(card(state.current) ?? cards()[0]);
}
window.addEventListener("hashchange", route);
route();
