from queue import Queue

from apscheduler.events import EVENT_JOB_EXECUTED
from apscheduler.schedulers.background import BackgroundScheduler

heard = Queue()
scheduler = BackgroundScheduler()
scheduler.add_listener(lambda event: heard.put(event.retval), EVENT_JOB_EXECUTED)
scheduler.start()
job = scheduler.add_job("math:pow", "date", args=[2, 3])
print(job.func_ref, job.name, heard.get(timeout=20))
scheduler.shutdown()
