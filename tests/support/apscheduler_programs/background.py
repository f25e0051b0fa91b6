from threading import Event

from apscheduler.schedulers.background import BackgroundScheduler

ticks, enough = [], Event()


def tick(word):
    ticks.append(word)
    if len(ticks) == 3:
        enough.set()


scheduler = BackgroundScheduler()
scheduler.add_job(tick, "interval", seconds=0.05, args=["tick"])
scheduler.start()
print(enough.wait(20), scheduler.running)
scheduler.shutdown()
print(set(ticks), scheduler.running)
