// Shows that the API answers: who asks, the overview, and the stream of live events.

const place = (id) => document.getElementById(id);

const show = (id, text) => {
  place(id).textContent = text;
};

const ask = async (path) => {
  const response = await fetch(`api/v1/${path}`);
  const answer = await response.json();
  if (!response.ok) throw new Error(`${answer.error.message}. ${answer.error.remedy ?? ""}`);
  return answer;
};

const showOverview = (overview) => {
  show("jobs", overview.jobs.total ?? overview.jobs.scheduled ?? "-");
  show("runs", overview.runs_per_second);
};

try {
  const me = await ask("me");
  document.title = me.title ? `gsched ${me.title}` : "gsched";
  show("actor", me.actor);
  show("may", me.may.join(", "));
  showOverview(await ask("overview"));
  const events = new EventSource("api/v1/events");
  events.onopen = () => show("live", "connected");
  events.onerror = () => show("live", "reconnecting");
  events.addEventListener("overview", (event) => {
    const overview = JSON.parse(event.data);
    showOverview(overview);
    show("live", new Date(overview.as_of).toLocaleTimeString());
  });
} catch (error) {
  show("error", error.message);
}
