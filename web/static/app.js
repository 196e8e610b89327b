"use strict";

const element = (id) => document.getElementById(id);
const sections = ["sign-in", "invite", "nodes"];

function show(section) {
  for (const id of sections) element(id).hidden = id !== section;
  const field = element(section).querySelector("input");
  if (field) field.focus();
}

function say(text, kind = "info") {
  const message = element("message");
  message.textContent = text;
  message.className = kind;
  message.hidden = !text;
}

async function call(method, path, body) {
  const options = { method, headers: {}, credentials: "same-origin" };
  if (body !== undefined) {
    options.headers["Content-Type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new Error("The hub cannot be reached. Try again in a moment.");
  }
  const answer = await response.json().catch(() => ({}));
  if (response.ok) return answer;
  const error = new Error(answer.error?.message ?? `The hub answered ${response.status}.`);
  error.status = response.status;
  throw error;
}

// Runs while a form's button is off; shows what went wrong.
function onSubmit(section, action) {
  const form = element(section).querySelector("form");
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = form.querySelector("button");
    button.disabled = true;
    say("");
    try {
      await action(Object.fromEntries(new FormData(form)));
      form.reset();
    } catch (error) {
      say(error.message, "error");
    } finally {
      button.disabled = false;
    }
  });
}

function cell(row, text, className) {
  const td = row.insertCell();
  td.textContent = text;
  if (className) td.className = className;
  return td;
}

function labels(node) {
  return Object.entries(node.labels ?? {}).map(([name, value]) => `${name}=${value}`).join(", ");
}

async function showNodes() {
  const session = await call("GET", "/v1/webapi/session");
  const { nodes } = await call("GET", "/v1/webapi/nodes");
  const ping = await call("GET", "/v1/webapi/ping");
  element("user").textContent = session.user;
  element("who").hidden = false;
  const rows = element("rows");
  rows.replaceChildren();
  for (const node of nodes) {
    const row = rows.insertRow();
    cell(row, node.name, "name");
    cell(row, labels(node));
    cell(row, node.logins.join(", "));
    cell(row, node.connected ? "connected" : "not connected", node.connected ? "up" : "down");
  }
  element("none").hidden = nodes.length > 0;
  const host = location.hostname;
  const node = nodes[0]?.name ?? "NODE";
  const login = nodes[0]?.logins[0] ?? "LOGIN";
  element("with-msh").textContent =
    `msh login --proxy=${location.host} --user=${session.user}\nmsh ls\nmsh ssh ${login}@${node}`;
  element("with-ssh").textContent = `ssh -J ${session.user}@${host}:${ping.ssh_port} ${login}@${node}`;
  show("nodes");
}

async function start() {
  const ping = await call("GET", "/v1/webapi/ping");
  element("cluster").textContent = ping.cluster_name;
  document.title = `Mezite – ${ping.cluster_name}`;
  if (location.pathname.startsWith("/invite/")) return show("invite");
  try {
    await showNodes();
  } catch (error) {
    if (error.status !== 401) throw error;
    show("sign-in");
  }
}

onSubmit("sign-in", async ({ user, password }) => {
  await call("POST", "/v1/webapi/session", { user, password });
  await showNodes();
});

onSubmit("invite", async ({ password, again }) => {
  if (password !== again) throw new Error("The two passwords differ.");
  const token = decodeURIComponent(location.pathname.slice("/invite/".length));
  const { user } = await call("POST", "/v1/webapi/invite", { token, password });
  history.replaceState(null, "", "/");  // the link is used up
  show("sign-in");
  element("sign-in").querySelector("[name=user]").value = user;
  element("sign-in").querySelector("[name=password]").focus();
  say("Your password is set. Sign in with it, here or with msh login.");
});

element("sign-out").addEventListener("click", async () => {
  try {
    await call("POST", "/v1/webapi/logout", {});
  } catch (error) {
    return say(error.message, "error");
  }
  element("who").hidden = true;
  element("rows").replaceChildren();
  show("sign-in");
  say("Signed out.");
});

start().catch((error) => say(error.message, "error"));
