from datetime import datetime
from threading import Event

from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.util import undefined

ran = Event()
scheduler = BackgroundScheduler(timezone="UTC")
scheduler.start()
scheduler.add_job(ran.set, "interval", hours=1, next_run_time=datetime.now(scheduler.timezone))
print(ran.wait(20))
paused = scheduler.add_job(print, "interval", hours=1, next_run_time=None)
print(paused.next_run_time)
usual = scheduler.add_job(print, "interval", hours=1, next_run_time=undefined, max_instances=undefined)
print(usual.next_run_time is not None, usual.max_instances)
scheduler.wakeup()
scheduler.shutdown()
