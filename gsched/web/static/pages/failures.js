import { el } from "../html.js";

export const Failures = () => el.h1(null, "Failures");
