from apscheduler.schedulers import SchedulerAlreadyRunningError, SchedulerNotRunningError
from apscheduler.schedulers.background import BackgroundScheduler

scheduler = BackgroundScheduler()
try:
    scheduler.shutdown()
except SchedulerNotRunningError:
    print("not running")
scheduler.start()
for call in (scheduler.start, scheduler.configure):
    try:
        call()
    except SchedulerAlreadyRunningError:
        print("running")
try:
    scheduler.add_job(print, "interval", colour="red")
except (TypeError, ValueError):
    print("colour")
try:
    scheduler.add_job(len, "interval", hours=1)
except (TypeError, ValueError):
    print("argument")
scheduler.shutdown()
scheduler.start()
print(scheduler.running)
scheduler.shutdown()
