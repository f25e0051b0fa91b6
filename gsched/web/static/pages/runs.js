import { el } from "../html.js";

export const Runs = () => el.h1(null, "Runs");
