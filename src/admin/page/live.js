// Replaces the content of the page with each event of /live. It keeps the focus, open tables and scroll positions, and
// waits while text is selected or a button or a key is held down. Without this script the page does not update, but
// everything on it works.
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

  const showState = (word) => {
    if (pulse.textContent !== word) pulse.textContent = word;
    pulse.className = word;
    pulse.hidden = false;
  };

  const isSelecting = () => {
    const selection = document.getSelection();
    return selection && !selection.isCollapsed && region.contains(selection.anchorNode);
  };

  const heading = () => region.querySelector('h1')?.textContent ?? '';

  const render = () => {
    if (next === null || isHeld || isSelecting()) return;
    const html = next;
    next = null;
    const active = document.activeElement;
    const focused = region.contains(active) ? active.id || active.getAttribute('href') : null;
    const open = [...region.querySelectorAll('details[open]')].map((details) => details.id);
    const scrolled = [...region.querySelectorAll('.scroll')].map((box) => [box.id, box.scrollLeft, box.scrollTop]);
    const before = heading();
    region.innerHTML = html;
    // Screen readers announce only changes of an element that stays.
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
  // The click event follows the pointerup event.
  const release = () => { isHeld = false; setTimeout(render, 0); };
  for (const begin of ['pointerdown', 'keydown']) document.addEventListener(begin, hold);
  for (const end of ['pointerup', 'pointercancel', 'keyup']) document.addEventListener(end, release);
  // A key that is released in another window sends no keyup here.
  addEventListener('blur', release);
  document.addEventListener('selectionchange', render);

  // An expired session is redirected to the login form.
  const checkSession = async () => {
    try {
      const answer = await fetch(location.href, { redirect: 'manual' });
      if (answer.type === 'opaqueredirect') return location.reload();
    } catch { /* the service is unreachable; try again */ }
    retry = setTimeout(listen, RETRY_MS);
  };

  // A browser opens at most six connections to a host, so a hidden page must not keep one.
  const close = () => {
    clearTimeout(retry);
    source?.close();
    source = null;
  };

  const listen = () => {
    close();
    if (document.hidden) return;
    const mine = new EventSource(region.dataset.live);
    source = mine;
    mine.addEventListener('open', () => showState('live'));
    mine.addEventListener('page', (event) => { next = event.data; showState('live'); render(); });
    mine.addEventListener('error', () => {
      showState('reconnecting');
      if (mine.readyState === EventSource.CLOSED && mine === source) { close(); checkSession(); }
    });
  };
  document.addEventListener('visibilitychange', () => { if (document.hidden) close(); else listen(); });
  addEventListener('pagehide', close);
  addEventListener('pageshow', (event) => { if (event.persisted) listen(); });
  if (region.dataset.live) listen();
})();
