from queue import Queue

from apscheduler.events import EVENT_JOB_ERROR, EVENT_JOB_EXECUTED
from apscheduler.schedulers.background import BackgroundScheduler

heard = Queue()


def listener(event):
    heard.put((event.job_id, event.jobstore, event.retval, type(event.exception).__name__, event.code))


def crash():
    raise ValueError("no")


scheduler = BackgroundScheduler()
scheduler.add_listener(listener, EVENT_JOB_EXECUTED | EVENT_JOB_ERROR)
scheduler.start()
scheduler.add_job(crash, id="crashes")
print(heard.get(timeout=20))
scheduler.add_job(sum, args=[[1, 2]], id="works")
print(heard.get(timeout=20))
scheduler.remove_listener(listener)
scheduler.shutdown()
