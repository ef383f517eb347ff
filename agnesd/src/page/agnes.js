// What a page does beyond its forms: takes a link's code out of the address, and shows events as they happen.
"use strict";

// The part of an address behind the # never leaves the browser by itself; the form's button sends it.
for (const input of document.querySelectorAll("[data-from-fragment]")) {
  const from = new URLSearchParams(location.hash.slice(1) || location.search);
  const code = from.get(input.dataset.fromFragment);
  if (code) {
    input.value = code;
    // not kept in the history, nor copied with the address
    history.replaceState(null, "", location.pathname);
  }
}

const live = document.getElementById("live");
if (live && "WebSocket" in window) watch(live);

function watch(live) {
  let wait = 1000;
  const open = () => {
    const address = new URL(live.dataset.events, location.href);
    address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(address);
    socket.onopen = () => { wait = 1000; live.textContent = "Events appear as they happen."; };
    socket.onmessage = (message) => show(JSON.parse(message.data), live);
    socket.onclose = (closed) => {
      // the session has ended: nothing here is ours to see any more
      if (closed.code === 4401) { location.assign("/login"); return; }
      live.textContent = "Not connected: what is shown may be old.";
      setTimeout(open, wait);
      wait = Math.min(wait * 2, 30000);
    };
  };
  open();
}

function show(event, live) {
  const seen = document.body.dataset.release;
  if (event.type === "hello") {
    if (seen && seen !== event.version) location.reload();
    document.body.dataset.release = event.version;
  } else if (event.type === "audit") {
    addRow(event);
  } else if (event.type === "job") {
    const row = document.querySelector(`[data-job="${CSS.escape(event.job)}"]`);
    if (!row) return;
    row.querySelector("[data-outcome]").textContent = event.outcome || "running";
    row.querySelector("[data-last]").textContent = event.at;
  } else {
    live.textContent = `${event.at}: ${event.type}: ${event.what}`;
  }
}

function addRow(event) {
  const rows = document.getElementById("event-rows");
  if (!rows) return;
  const row = document.createElement("tr");
  for (const name of ["at", "actor", "action", "resource", "outcome"]) {
    const cell = document.createElement(name === "action" ? "th" : "td");
    if (name === "action") cell.scope = "row";
    cell.textContent = event[name];
    row.append(cell);
  }
  rows.prepend(row);
  while (rows.rows.length > 50) rows.deleteRow(-1);
}
