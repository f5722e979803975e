// The page: one member of the room, over a WebSocket that carries the lines of docs/PROTOCOL.md as
// they are (ENTER, RESUME, section 9). Text is only ever put into text nodes.
"use strict";

const $ = (id) => document.getElementById(id);
const bytesOf = (text) => new TextEncoder().encode(text);
const NAME = "[A-Za-z0-9_.-]{1,8}";
const LINE_BYTES = 4096, MOST_ROWS = 10000, GROUP_ROWS = 100, SAVED_LINES = 400, QUIET_MS = 25000, ASLEEP_MS = 40000;
const KINDS = [ // section 9: no line has two of these forms
  ["said", new RegExp(`^(${NAME}): ([^]*)$`)],
  ["from", new RegExp(`^\\[Message from (${NAME})\\]: ([^]*)$`)],
  ["sent", new RegExp(`^\\[Message to (${NAME})\\]: ([^]*)$`)],
  ["joined", new RegExp(`^(${NAME}) joined the chatroom$`)],
  ["left", new RegExp(`^(${NAME}) left the chatroom$`)],
  ["users", new RegExp(`^Active Users: ()((?:${NAME})(?:, ${NAME})*)$`)],
  ["reply", /^\* ()((?:No such user: |Usage: |Message too long)[^]*)$/],
  ["notice", /^\* ()([^]*)$/],
  ["end", /^(Server is shutting down)$/],
];
const HELP = { word: ":Help", help: ":Help shows this; only you see it" };

let table = { commands: [], shortcuts: [] };
let me = null; // {name, passcode, token, received, sent}: what a reload needs
let members = [], lines = [], pending = []; // lines: [text, ms, isOld]; pending: {text, from, to}
let socket = null, isIn = false, isBegun = false, inHistory = false, tries = 0, timer = 0;
let unread = 0, heardAt = 0, tickAt = 0, wantsOut = false, farewell = "";

// The connection.

function connect() {
  clearTimeout(timer);
  if (socket) { socket.onopen = socket.onmessage = socket.onclose = null; socket.close(); }
  isIn = false;
  const url = new URL("socket", location.href);
  url.protocol = url.protocol.replace("http", "ws");
  url.search = url.hash = "";
  const asks = me.token ? `RESUME ${me.token} ${me.received}\n` : `ENTER ${me.name} ${me.passcode}\n`;
  socket = new WebSocket(url);
  socket.onopen = () => socket.send(asks);
  socket.onmessage = (event) => { heardAt = Date.now(); isIn ? take(event.data) : answer(event.data); };
  socket.onclose = () => { socket = null; isIn = false; if (me && !wantsOut) retry(); else if (wantsOut) goOut(farewell); };
}

function answer(data) {
  const end = data.indexOf("\n"), line = data.slice(0, end), rest = data.slice(end + 1);
  const ok = /^OK(?: (\S+)(?: (\d+))?)?$/.exec(line);
  if (!ok) return refused(line.replace(/^ERROR /, ""));
  const isResumed = !!me.token;
  if (!isResumed) { me.received = me.sent = 0; isBegun = inHistory = false; giveUpPending(); }
  me.token = ok[1] || "";
  isIn = true; tries = 0;
  show("here");
  if (isResumed) sendAgain(Number(ok[2]));
  take(rest);
  save();
}

function refused(reason) {
  if (me.token) { // the place is gone: come in anew
    me.token = "";
    note(`You were away too long: lines may be missing here. (${reason})`, "bad");
    return connect();
  }
  const isOurOld = /^Username already in use/.test(reason) && members.length;
  if (isOurOld || /^(Too many|Server full|Handshake)/.test(reason) && members.length) return show("away", reason);
  goOut(reason);
}

function retry() {
  const seconds = Math.min(20, [0, 1, 2, 4, 8][tries] ?? 12) * (0.75 + Math.random() / 2);
  tries += 1;
  if (!members.length) return goOut("The server cannot be reached");
  if (tries > 1) show("away");
  timer = setTimeout(connect, seconds * 1000);
}

const reconnect = () => { if (me && !isIn) { tries = 0; connect(); } };

function say(text) {
  if (/^:exit[ \t]*$/i.test(text)) return leave();
  const from = me.sent;
  me.sent += bytesOf(text + "\n").length;
  if (text.trim()) pending.push({ text, from, to: me.sent });
  if (isIn) socket.send(text + "\n");
  drawPending();
}

// After RESUME: from exactly the byte that the server names, so that nothing is doubled or lost.
function sendAgain(received) {
  const all = bytesOf(pending.map((line) => line.text + "\n").join(""));
  const start = pending.length ? received - pending[0].from : 0;
  if (start >= 0 && start < all.length) socket.send(new TextDecoder().decode(all.slice(start)));
}

function giveUpPending() { // a new membership: nobody knows whether these were taken
  for (const line of pending.splice(0)) row({ kind: "mine", name: me.name, text: line.text, at: Date.now(), extra: "lost" });
  drawPending();
}

// What the server says.

function take(data) {
  if (me) me.received += bytesOf(data).length;
  for (const line of data.split("\n").slice(0, -1)) understand(line);
}

function kindOf(line) {
  for (const [kind, form] of KINDS) {
    const found = form.exec(line);
    if (found) return [kind, found];
  }
  return ["other", ["", "", line]];
}

function understand(line) {
  const [kind, found] = kindOf(line);
  const [, name, text] = found, at = Date.now();
  if (!isBegun) {
    if (kind === "users") { isBegun = true; members = text.split(", "); drawMembers(); return; }
    if (line === "* History") { inHistory = true; return; }
    if (line === "* End of history") { inHistory = false; note("earlier", "rule"); return; }
    const old = inHistory && /^\* (\d\d:\d\d) ([^]*)$/.exec(line);
    if (old) return draw(old[2], old[1], true);
  }
  if (kind === "notice" && new RegExp(`^${me.name} was (kicked|banned)`).test(text)) { wantsOut = true; farewell = text; }
  if (kind === "joined") members.push(name);
  if (kind === "left") members = members.filter((other) => other !== name);
  if (kind === "joined" || kind === "left") drawMembers();
  if (["said", "sent", "users", "reply"].includes(kind) && (kind !== "said" || name === me.name)) { pending.shift(); drawPending(); }
  lines.push([line, at]);
  if (lines.length > 2 * SAVED_LINES) lines = lines.slice(-SAVED_LINES);
  draw(line, at, false);
}

// Show one line of the server. `at`: milliseconds, or HH:MM as the history tells it.
function draw(line, at, isOld) {
  const [kind, found] = kindOf(line);
  const [, name, text] = found, extra = isOld ? "old" : "";
  const isForMe = kind === "from" || kind === "said" && isMention(text);
  if (!isOld && (kind === "said" || kind === "from") && name !== me.name) count(isForMe, name, text);
  if (kind === "said") row({ kind: name === me.name ? "mine" : "said", name, text, at, extra });
  else if (kind === "from" || kind === "sent") row({ kind, name, text, at, extra });
  else if (kind === "joined" || kind === "left") note([name, kind === "joined" ? " joined" : " left"], "");
  else if (kind === "users") note(`Here now: ${text}`, "");
  else if (kind === "notice") note(text, "loud");
  else if (kind === "end") note("The server is shutting down", "bad");
  else note(text, kind === "reply" ? "bad" : "");
}

const isMention = (text) => text.toLowerCase().split(/[^a-z0-9_.-]+/).some((word) => word.replace(/[.]+$/, "") === me.name.toLowerCase());

// Rows. What comes in one frame of the screen is put in at once.

let fresh = [], last = null, rows = 0, isDrawing = false, isAtEnd = true, below = 0, lastTop = 0;

function make(tag, className, text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
}

// As terminals do it: the same colour each time, and not that of another who is here.
const taken = new Map();
function colour(name) {
  const folded = name.toLowerCase();
  if (!taken.has(folded)) {
    if (taken.size > 500) for (const other of taken.keys()) if (!members.some((m) => m.toLowerCase() === other)) taken.delete(other);
    const used = new Set(members.map((member) => taken.get(member.toLowerCase()))), first = crc32(folded) % 15;
    let pick = first;
    for (let i = 0; i < 15; i++) if (!used.has((first + i) % 15)) { pick = (first + i) % 15; break; }
    taken.set(folded, pick);
  }
  return `c${taken.get(folded)}`;
}

function crc32(text) {
  let crc = -1;
  for (const byte of bytesOf(text)) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc >>> 1 ^ (crc & 1 && 0xedb88320);
  }
  return (crc ^ -1) >>> 0;
}

const HOURS = new Intl.DateTimeFormat([], { hour: "2-digit", minute: "2-digit", hourCycle: "h23" }); // made once: it is slow to make
const clock = (at) => typeof at === "string" ? at : HOURS.format(at);

function face(name) {
  const node = make("span", "face", name.replace(/[^A-Za-z0-9]/g, "")[0] || name[0]);
  node.setAttribute("aria-hidden", "true");
  return node;
}

function row({ kind, name, text, at, extra }) {
  const isMine = kind === "mine" || kind === "sent", isPrivate = kind === "from" || kind === "sent";
  const key = [kind, name, clock(at), extra].join();
  if (last?.key !== key || last.group.childElementCount > GROUP_ROWS) {
    const group = make("article", ["group", colour(name), isMine && "me", isPrivate && "private", extra].filter(Boolean).join(" "));
    const who = make("div", "who"), button = make("button", "", name);
    button.type = "button";
    button.dataset.to = name;
    button.setAttribute("aria-label", isMine ? `Write to ${name}` : `${name}: write a private message`);
    if (isMine && kind === "mine") who.append(make("b", "unseen", "You"));
    who.append(button);
    if (kind === "from") who.append(make("span", "", "to you alone"));
    if (kind === "sent") who.append(make("span", "", `to ${name} alone`));
    if (extra === "lost") who.append(make("span", "", "perhaps not sent"));
    else who.append(make("time", "", clock(at)));
    group.append(face(name), who);
    last = { key, group, isFirst: true };
    put(group);
  }
  const line = make("div", "line");
  line.dir = "auto";
  if (last.isFirst) line.classList.add("first");
  if (/^(?:[\p{Extended_Pictographic}\u200d\ufe0f\u{1f3fb}-\u{1f3ff}]){1,9}$/u.test(text)) line.classList.add("big");
  if (kind === "said" && isMention(text)) line.classList.add("mention");
  fill(line, text);
  last.group.append(line);
  rows += 1;
  below += 1;
  last.isFirst = false;
  schedule();
}

// Text, and http links in it: the only element is an <a> whose words are the address itself.
function fill(node, text) {
  let from = 0;
  for (const found of text.matchAll(/\bhttps?:\/\/[^\s<>"'\u0000-\u001f\ufffd]+/gi)) {
    const address = found[0].replace(/[.,;:!?)\]}]+$/, (end) => end.includes(")") && found[0].includes("(") ? ")" : "");
    let url;
    try { url = new URL(address); } catch { continue; }
    if (url.protocol !== "http:" && url.protocol !== "https:") continue;
    const link = make("a", "", address);
    link.href = url.href;
    link.target = "_blank";
    link.rel = "noopener noreferrer nofollow";
    node.append(text.slice(from, found.index), link);
    from = found.index + address.length;
  }
  node.append(text.slice(from));
}

function note(text, className) {
  const node = make("p", `note ${className}`);
  node.dir = "auto";
  if (Array.isArray(text)) {
    const who = make("b", "", text[0]);
    node.classList.add(colour(text[0]));
    node.append(who, text[1]);
  } else fill(node, text);
  last = null;
  rows += 1;
  below += 1;
  put(node);
}

function put(node) {
  fresh.push(node);
  schedule();
}

function schedule() {
  if (isDrawing) return;
  isDrawing = true;
  if (document.hidden) setTimeout(flush, 100); // a hidden page gets no animation frame
  else requestAnimationFrame(flush);
}

function flush() {
  isDrawing = false;
  const log = $("log"), stays = isAtEnd;
  log.append(...fresh);
  fresh = [];
  for (let top; rows > MOST_ROWS && (top = log.firstElementChild) !== log.lastElementChild; top.remove()) rows -= top.querySelectorAll(".line").length || 1;
  if (stays) toEnd();
  drawDown();
}

function toEnd() {
  const scroll = $("scroll");
  scroll.scrollTop = scroll.scrollHeight;
  isAtEnd = true;
  below = 0;
  drawDown();
}

function drawDown() {
  $("down").hidden = isAtEnd || !below;
  $("down").textContent = `↓ ${below} new`;
}

function drawPending() {
  const box = $("pending");
  const shown = pending.filter((line) => !/^:users\s*$/i.test(line.text)).slice(0, 50);
  box.replaceChildren(...shown.map((waiting) => {
    const group = make("div", "group me waiting"), line = make("div", "line first");
    line.dir = "auto";
    fill(line, waiting.text);
    group.append(line);
    return group;
  }));
  if (isAtEnd) toEnd();
}

function drawMembers() {
  $("count").textContent = members.length;
  $("who").setAttribute("aria-label", `${members.length} members`);
  $("list").replaceChildren(...members.map((name) => {
    const item = make("li", ""), button = make("button", colour(name));
    button.type = "button";
    button.dataset.to = name;
    button.append(face(name), make("bdi", "", name));
    if (name === me.name) button.append(make("small", "", "you"));
    item.append(button);
    return item;
  }));
}

function show(state, why = "") {
  $("door").hidden = true;
  $("room").hidden = false;
  $("room").dataset.state = state;
  $("join").removeAttribute("aria-busy");
  $("state").textContent = state === "here" ? "connected" : why ? `trying again: ${why}` : "connection lost, trying again";
  $("retry").hidden = state === "here";
}

// Unread lines, title, notifications.

function count(isForMe, name, text) {
  if (!document.hidden) return;
  if (!unread) { document.querySelector(".note.new")?.remove(); note("new", "new"); }
  unread += 1;
  document.title = `(${unread}) Chatroom`;
  if (isForMe && $("bell").getAttribute("aria-pressed") === "true") new Notification(name, { body: text.slice(0, 200), tag: "chatroom" });
}

$("bell").onclick = async () => {
  const isOn = $("bell").getAttribute("aria-pressed") !== "true" && "Notification" in window && await Notification.requestPermission() === "granted";
  $("bell").setAttribute("aria-pressed", isOn);
};

// Coming, going, and what is remembered in this tab alone.

$("join").onsubmit = (event) => {
  event.preventDefault();
  const name = $("name").value.trim(), passcode = $("passcode").value;
  $("name").setAttribute("aria-invalid", !new RegExp(`^${NAME}$`).test(name));
  if (!new RegExp(`^${NAME}$`).test(name)) { tell("A name is 1 to 8 of A-Z a-z 0-9 _ - ."); $("name").focus(); return; }
  if (!passcode) { tell("The passcode is missing"); $("passcode").focus(); return; }
  tell("");
  $("join").setAttribute("aria-busy", "true");
  me = { name, passcode, token: "", received: 0, sent: 0 };
  wantsOut = false; farewell = "";
  connect();
};

const tell = (reason) => { $("refusal").textContent = reason; };

function goOut(reason) {
  const { name } = me || {};
  if (socket) { socket.onclose = null; socket.close(); socket = null; }
  clearTimeout(timer);
  me = null; members = []; lines = []; pending = []; fresh = []; isIn = false; last = null; tries = rows = 0;
  sessionStorage.clear();
  $("log").replaceChildren();
  $("pending").replaceChildren();
  $("room").hidden = true;
  $("door").hidden = false;
  $("join").removeAttribute("aria-busy");
  $("name").value = name || $("name").value;
  tell(reason);
  $(/passcode/i.test(reason) ? "passcode" : "name").focus();
}

function leave() {
  wantsOut = true;
  if (isIn) socket.send(":Exit\n"); else goOut("");
}
$("leave").onclick = leave;
$("retry").onclick = reconnect;

function save() {
  if (me) sessionStorage.setItem("chat", JSON.stringify({ me, members, pending, isBegun, lines: lines.slice(-SAVED_LINES) }));
}

const tabs = new BroadcastChannel("chatroom");
tabs.onmessage = ({ data }) => { if (data.asks && me && data.asks === me.token) tabs.postMessage({ has: me.token }); };

// A reloaded tab goes on where it was. A copy of a tab would take the place of the first: it asks.
function restore() {
  const saved = JSON.parse(sessionStorage.getItem("chat") || "null");
  if (!saved) return $("name").focus();
  const start = () => {
    tabs.removeEventListener("message", other);
    ({ me, members, pending, isBegun, lines } = saved);
    for (const [line, at] of lines) draw(line, at, false);
    unread = 0;
    document.title = "Chatroom";
    drawMembers(); drawPending(); show("away", "reloaded"); connect();
  };
  const other = ({ data }) => {
    if (data.has !== saved.me.token) return;
    clearTimeout(wait);
    sessionStorage.clear();
    $("name").focus();
  };
  const wait = setTimeout(start, saved.me.token ? 80 : 0);
  tabs.addEventListener("message", other);
  tabs.postMessage({ asks: saved.me.token });
}

addEventListener("pagehide", save);
const isBack = () => { if (me) { isIn = false; reconnect(); } }; // what is open may be dead
addEventListener("pageshow", (event) => event.persisted && isBack());
addEventListener("online", isBack);
addEventListener("visibilitychange", () => {
  if (document.hidden) return save();
  unread = 0;
  document.title = "Chatroom";
  flush();
  if (isAtEnd) toEnd();
  if (Date.now() - tickAt > ASLEEP_MS && me?.token) isIn = false; // a sleeping device's connection is often half dead
  reconnect();
});

// A proxy cuts what is silent for a minute: an empty message is no payload at all.
setInterval(() => { tickAt = Date.now(); if (isIn) socket.send(""); }, QUIET_MS);
tickAt = Date.now();

// Typing.

const text = $("text"), menu = $("menu");
let offers = [], chosen = 0, typed = [], at = 0;

function submit(isSure) {
  const all = text.value.replace(/\r/g, "").replace(/\n+$/, "");
  if (!all.trim() || !me) return;
  const parts = all.split("\n");
  const long = parts.find((part) => bytesOf(part).length > LINE_BYTES);
  if (long) return note(`A line of ${bytesOf(long).length} bytes is too long; ${LINE_BYTES} go`, "bad");
  if (parts.length === 1 && /^:help\s*$/i.test(all)) help();
  else {
    const odd = parts.find(looksMistyped);
    if (!isSure && odd) return ask(`“${odd}” is no command. Say it to everybody?`);
    if (!isSure && parts.length > 5) return ask(`Say ${parts.length} lines, one after another?`);
    for (const part of parts) if (part.trim()) say(part);
  }
  typed.push(all);
  at = typed.length;
  text.value = "";
  grow();
  toEnd();
}

// The server says to everybody whatever is no command, so a mistyped one is asked about first.
function looksMistyped(line) {
  const drawn = line.normalize("NFKC").replace(/[\u02d0\u0589\u2236\ua789]/g, ":").replace(/^[\s\u200b-\u200d\u2060\u2800\u3164\ufeff]+/, "");
  if (/^:(mytime|\+1hr)(\s|$)/i.test(drawn)) return false;
  if (/^:(users|exit)[ \t]*$/i.test(line) || /^:msg([ \t]|$)/i.test(line)) return false;
  return /^(:\s?\w{2,}(?![\w:])|\/[a-z]+(?![\w/.])|;(users|msg|exit|help)\b)/i.test(drawn);
}

function help() {
  for (const { help } of [...table.commands, HELP]) note(help, "loud");
  note(`${table.shortcuts.map(({ word, help }) => `${word} → ${help}`).join("    ")}\n\\:Users and the like are said as they are, without the backslash`, "loud");
}

function ask(question) {
  $("ask-text").textContent = question;
  $("ask").hidden = false;
  $("ask-no").focus(); // Enter once more is a reflex
}
$("ask-yes").onclick = () => { $("ask").hidden = true; submit(true); text.focus(); };
$("ask-no").onclick = () => { $("ask").hidden = true; text.focus(); };
$("ask").onkeydown = (event) => { if (event.key === "Escape") $("ask-no").onclick(); };

function grow() {
  text.style.height = "auto";
  text.style.height = `${text.scrollHeight + 2}px`;
  offer();
}

function offer() {
  const before = text.value.slice(0, text.selectionStart);
  const to = /^:msg +([\w.-]*)$/i.exec(before), word = /(^|\s)(:[^\s]*)$/.exec(before);
  offers = [];
  if (to) offers = members.filter((name) => name.toLowerCase().startsWith(to[1].toLowerCase()) && name !== me?.name).map((name) => ({ word: `${name} `, help: "", cut: to[1].length }));
  else if (word) {
    const all = [...word[1] ? [] : [...table.commands, HELP], ...table.shortcuts];
    offers = all.filter((each) => each.word.toLowerCase().startsWith(word[2].toLowerCase()) && each.word.toLowerCase() !== word[2].toLowerCase())
      .map((each) => ({ word: each.word + (each.word === ":Msg" ? " " : ""), help: each.help.replace(`${each.word} `, ""), cut: word[2].length }));
  }
  chosen = 0;
  drawMenu();
}

function drawMenu() {
  menu.hidden = !offers.length;
  menu.replaceChildren(...offers.map(({ word, help }, index) => {
    const item = make("li", "");
    item.id = `offer-${index}`;
    item.setAttribute("role", "option");
    item.setAttribute("aria-selected", index === chosen);
    item.append(make("b", "", word), make("span", "", help));
    item.onmousedown = (event) => { event.preventDefault(); complete(index); };
    return item;
  }));
  if (offers.length) text.setAttribute("aria-activedescendant", `offer-${chosen}`);
  else text.removeAttribute("aria-activedescendant");
}

function complete(index) {
  const { word, cut } = offers[index];
  text.setRangeText(word, text.selectionStart - cut, text.selectionStart, "end");
  grow();
}

const ofMenu = {
  ArrowDown: () => { chosen = (chosen + 1) % offers.length; drawMenu(); },
  ArrowUp: () => { chosen = (chosen + offers.length - 1) % offers.length; drawMenu(); },
  Tab: () => complete(chosen),
  Escape: () => { offers = []; drawMenu(); },
};

text.oninput = grow;
text.onkeydown = (event) => {
  if (event.isComposing) return;
  if (offers.length && ofMenu[event.key]) { event.preventDefault(); ofMenu[event.key](); return; }
  if (event.key === "Enter" && !event.shiftKey) { event.preventDefault(); submit(false); }
  const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
  if (step && !text.value.includes("\n") && (text.value === (typed[at] ?? "")) && typed[at + step] !== undefined | at + step === typed.length) {
    event.preventDefault();
    at += step;
    text.value = typed[at] ?? "";
    grow();
  }
};
$("say").onsubmit = (event) => { event.preventDefault(); submit(false); };

document.addEventListener("click", (event) => {
  const to = event.target.closest?.("[data-to]")?.dataset.to;
  if (!to || to === me?.name) return;
  text.value = `:Msg ${to} `;
  $("room").classList.remove("shows-members");
  text.focus();
  grow();
});

$("who").onclick = () => {
  const isOn = $("room").classList.toggle("shows-members");
  $("who").setAttribute("aria-expanded", isOn);
};
$("down").onclick = toEnd;
$("scroll").onscroll = () => {
  const { scrollTop, clientHeight, scrollHeight } = $("scroll");
  const isUp = scrollTop < lastTop;
  lastTop = scrollTop;
  if (scrollTop + clientHeight > scrollHeight - 40) isAtEnd = true;
  else if (isUp) isAtEnd = false; // and not because the log has grown
  if (isAtEnd) below = 0;
  drawDown();
};
addEventListener("resize", () => { if (isAtEnd) toEnd(); });
// What comes into sight has another height than the style sheet guesses.
new ResizeObserver(() => { if (isAtEnd) toEnd(); }).observe($("log"));

fetch("commands.json").then((got) => got.json()).then((got) => { table = got; }).catch(() => {});
restore();
