// Slider over training: the weight matrix of one model, frame by frame. Data: element "movie" (see measure_movie).
(function () {
  const root = document.getElementById("weights-movie");
  const source = document.getElementById("movie");
  if (!root || !source) return;
  const movie = JSON.parse(source.textContent);
  const canvas = root.querySelector("canvas");
  const slider = root.querySelector("input");
  const button = root.querySelector("button");
  const words = root.querySelector("output");
  const cell = 18, context = canvas.getContext("2d");
  canvas.width = movie.m * cell;
  canvas.height = movie.n * cell;
  slider.max = movie.frames.length - 1;

  function colour(weight) {
    const strength = Math.min(1, Math.abs(weight));
    const fade = (to) => Math.round(255 + (to - 255) * strength);
    return weight > 0 ? `rgb(${fade(0)},${fade(114)},${fade(178)})` : `rgb(${fade(213)},${fade(94)},${fade(0)})`;
  }

  function show(index) {
    const frame = movie.frames[index];
    context.fillStyle = "#fff";
    context.fillRect(0, 0, canvas.width, canvas.height);
    for (let row = 0; row < movie.n; row++) {
      for (let column = 0; column < movie.m; column++) {
        context.fillStyle = colour(frame[row * movie.m + column]);
        context.fillRect(column * cell, row * cell, cell - 1, cell - 1);
      }
    }
    for (let column = 0; column < movie.m; column++) {  // outline neurons that hold two features or more
      let owners = 0;
      for (let row = 0; row < movie.n; row++) {
        const size = Math.abs(frame[row * movie.m + column]);
        if (size >= 0.8 && size <= 1.2) owners++;
      }
      if (owners >= 2) {
        context.strokeStyle = "#000";
        context.lineWidth = 1.5;
        context.strokeRect(column * cell, 0.75, cell - 1.5, canvas.height - 1.5);
      }
    }
    words.textContent = `step ${movie.steps[index]}: loss ${movie.loss[index]}, mean row L1 norm ` +
      `${movie.l1_norm[index]}, polysemantic neurons ${movie.polysemantic[index]}`;
    slider.value = index;
  }

  let timer = null;
  function stop() { clearInterval(timer); timer = null; button.textContent = "Play"; }
  button.addEventListener("click", () => {
    if (timer) return stop();
    let index = Number(slider.value) >= movie.frames.length - 1 ? 0 : Number(slider.value);
    button.textContent = "Pause";
    timer = setInterval(() => {
      show(index);
      if (++index >= movie.frames.length) stop();
    }, 120);
  });
  slider.addEventListener("input", () => { if (timer) stop(); show(Number(slider.value)); });
  show(movie.frames.length - 1);
})();
