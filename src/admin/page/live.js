// Puts what /live tells in place of what is shown, and leaves alone what somebody is doing: the focus, an
// open table, a scrolled one, a selection, a button or a key that is held down. Without this the page is as it was
// when it was loaded, and everything on it works.
(() => {
  'use strict';
  const region = document.getElementById('live');
  const pulse = document.getElementById('pulse');
  const news = document.getElementById('news');
  if (!region || !pulse || !news || !window.EventSource) return;

  const RETRY_MS = 5000;
  let next = null;
  let isHeld = false;
  let source = null;
  let retry = 0;

  const say = (word) => {
    if (pulse.textContent !== word) pulse.textContent = word;
    pulse.className = word;
    pulse.hidden = false;
  };

  const isSelecting = () => {
    const selection = document.getSelection();
    return selection && !selection.isCollapsed && region.contains(selection.anchorNode);
  };

  const heading = () => region.querySelector('h1')?.textContent ?? '';

  const put = () => {
    if (next === null || isHeld || isSelecting()) return;
    const html = next;
    next = null;
    const active = document.activeElement;
    const focused = region.contains(active) ? active.id || active.getAttribute('href') : null;
    const open = [...region.querySelectorAll('details[open]')].map((details) => details.id);
    const scrolled = [...region.querySelectorAll('.scroll')].map((box) => [box.id, box.scrollLeft, box.scrollTop]);
    const before = heading();
    region.innerHTML = html;
    // An element that is put in anew is not read out by itself; this one stays.
    if (heading() !== before) news.textContent = heading();
    for (const id of open) {
      const details = document.getElementById(id);
      if (details) details.open = true;
    }
    for (const [id, left, top] of scrolled) {
      const box = document.getElementById(id);
      if (box) box.scrollTo(left, top);
    }
    if (focused) {
      const same = document.getElementById(focused) || region.querySelector(`[href="${CSS.escape(focused)}"]`);
      if (same) same.focus({ preventScroll: true });
    }
  };

  const hold = () => { isHeld = true; };
  // The click comes after it.
  const release = () => { isHeld = false; setTimeout(put, 0); };
  for (const begin of ['pointerdown', 'keydown']) document.addEventListener(begin, hold);
  for (const end of ['pointerup', 'pointercancel', 'keyup']) document.addEventListener(end, release);
  // A key that is let go of elsewhere is told to nobody here.
  addEventListener('blur', release);
  document.addEventListener('selectionchange', put);

  // Whoever is not logged in any more is led to the form.
  const lookAgain = async () => {
    try {
      const answer = await fetch(location.href, { redirect: 'manual' });
      if (answer.type === 'opaqueredirect') return location.reload();
    } catch { /* it is not there; it may come back */ }
    retry = setTimeout(listen, RETRY_MS);
  };

  // A browser keeps six connections to one place, and a page that nobody sees would keep one of them.
  const rest = () => {
    clearTimeout(retry);
    source?.close();
    source = null;
  };

  const listen = () => {
    rest();
    if (document.hidden) return;
    const mine = new EventSource(region.dataset.live);
    source = mine;
    mine.addEventListener('open', () => say('live'));
    mine.addEventListener('page', (event) => { next = event.data; say('live'); put(); });
    mine.addEventListener('error', () => {
      say('reconnecting');
      if (mine.readyState === EventSource.CLOSED && mine === source) { rest(); lookAgain(); }
    });
  };
  document.addEventListener('visibilitychange', () => { if (document.hidden) rest(); else listen(); });
  addEventListener('pagehide', rest);
  addEventListener('pageshow', (event) => { if (event.persisted) listen(); });
  if (region.dataset.live) listen();
})();
