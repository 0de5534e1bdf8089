"use strict";
// One page, one room at a time. What app.py promises is kept here: see its docstring.

const byId = (id) => document.getElementById(id);

const chat = {
  room: "",
  socket: null,
  seen: 0, // number of the last message shown
  waiting: new Map(), // key -> message that is not known to be sent
  sent: [], // texts that the server said it has
  closes: [], // codes of the connections that ended
  workers: [], // processes that served us
  retries: 0,

  enter(room) {
    this.room = room;
    this.seen = 0;
    byId("messages").replaceChildren();
    for (const link of document.querySelectorAll("nav a")) {
      link.className = link.hash === "#" + room ? "here" : "";
    }
    const old = this.socket;
    this.socket = null; // its end is no reason to connect again
    if (old) old.close();
    this.connect();
  },

  connect() {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const path = `/rooms/${encodeURIComponent(this.room)}?seen=${this.seen}`;
    const socket = (this.socket = new WebSocket(`${scheme}://${location.host}${path}`));
    byId("state").textContent = "connecting …";
    socket.onopen = () => {
      this.retries = 0;
      byId("state").textContent = "connected";
      for (const message of this.waiting.values()) this.post(message);
    };
    socket.onmessage = (event) => this.received(JSON.parse(event.data));
    socket.onclose = (event) => {
      if (socket !== this.socket) return;
      this.closes.push(event.code);
      // 1012, service restart: somebody else is ready. Otherwise wait longer each time; never all
      // pages at the same moment.
      const pause = event.code === 1012 ? 50 : Math.min(5000, 200 * 2 ** this.retries++);
      byId("state").textContent = "connection lost, trying again …";
      setTimeout(() => socket === this.socket && this.connect(), pause * (0.5 + Math.random()));
    };
  },

  received(message) {
    if (message.type === "welcome") {
      this.workers.push(message.worker);
    } else if (message.type === "sent") {
      const said = this.waiting.get(message.key);
      if (said) this.sent.push(said.text);
      this.waiting.delete(message.key);
    } else if (message.type === "message" && message.id > this.seen) {
      this.seen = message.id;
      this.show(message, "");
    }
  },

  show(message, state) {
    const line = byId(message.key) || document.createElement("li");
    const name = document.createElement("b");
    name.textContent = message.name;
    line.id = message.key;
    line.className = state;
    line.replaceChildren(name, ": ", message.text);
    byId("messages").append(line);
    line.scrollIntoView();
  },

  say(name, text) {
    const random = crypto.getRandomValues(new Uint32Array(4)); // randomUUID is for https only
    const message = { key: Array.from(random, (part) => part.toString(16)).join("-"), name, text };
    this.waiting.set(message.key, message);
    this.show(message, "waiting");
    if (this.socket.readyState === WebSocket.OPEN) this.post(message);
  },

  post(message) {
    this.socket.send(JSON.stringify(message));
  },
};

byId("form").onsubmit = (event) => {
  event.preventDefault();
  const text = byId("text").value.trim();
  if (text) chat.say(byId("name").value, text);
  byId("text").value = "";
};
window.onhashchange = () => chat.enter(location.hash.slice(1) || "blue");
window.onhashchange();
