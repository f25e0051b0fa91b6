from threading import Event

from apscheduler.events import EVENT_JOB_MAX_INSTANCES
from apscheduler.schedulers.background import BackgroundScheduler

go_on, skipped = Event(), Event()
scheduler = BackgroundScheduler()


@scheduler.scheduled_job("interval", seconds=0.05, max_instances=1, id="slow")
def slow():
    go_on.wait(20)


def listener(event):
    if event.job_id == "slow":
        skipped.set()


scheduler.add_listener(listener, EVENT_JOB_MAX_INSTANCES)
scheduler.start()
print(skipped.wait(20))
go_on.set()
scheduler.shutdown(wait=False)
print(scheduler.running)
